"""`python -m bench [packets|audit|relay|calls|rate|memory|seen]`: what packets and calls cost here, in ratios."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bench import audit, calls, memory, packets, rate, relay, seen


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("packets", "audit", "relay", "calls", "rate", "memory", "seen", "all"),
        default="all",
    )
    parser.add_argument(
        "--sessions",
        type=int,
        nargs="+",
        default=[50, 200, 500],
        help="calls the relay carries",
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind, taken in turn")
    parser.add_argument("--plot", type=Path, help="where `relay` draws what it measured (SVG)")
    parser.add_argument("--calls", type=int, default=100, help="calls set up one after the other")
    parser.add_argument("--held", type=int, default=1000, help="calls held at a time by `memory`")
    parser.add_argument("--rate", type=float, default=50.0, help="calls per second of `rate`")
    parser.add_argument("--load-seconds", type=float, default=60.0, help="how long `rate` calls")
    options = parser.parse_args()
    if options.what in ("packets", "all"):
        packets.main()
    if options.what in ("audit", "all"):
        asyncio.run(audit.main())
    if options.what in ("relay", "all"):
        relay.main(options.sessions, options.seconds, options.rounds, options.plot)
    if options.what in ("calls", "all"):
        asyncio.run(calls.main(options.calls))
    if options.what in ("rate", "all"):
        asyncio.run(rate.main(options.rate, options.load_seconds))
    if options.what in ("memory", "all"):
        asyncio.run(memory.main(options.held))
    if options.what == "seen":
        asyncio.run(seen.main())


if __name__ == "__main__":
    main()
