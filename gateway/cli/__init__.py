"""The command line `sip-gateway`: run, check, users, dialplan, audit, certs, demo.

A mistake of the user's ends with words on standard error and exit code 2, never with a traceback.
"""

from gateway.cli.commands import main

__all__ = ["main"]
