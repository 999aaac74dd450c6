"""`python -m gateway` is `sip-gateway`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
