"""Programs of others that tests start, and the Debian packages they come in; `make peers` installs them.

A test whose program is missing is skipped by a sentence that says how to get it, and pytest tells these at its end.
"""

from __future__ import annotations

import shutil

import pytest

PACKAGES = {
    "baresip": "baresip-core",
    "dnsmasq": "dnsmasq-base",
    "kamailio": "kamailio",
    "openssl": "openssl",
    "sipp": "sip-tester",
    "tcpdump": "tcpdump",
}
PLACES = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
"""Debian puts servers where the PATH of people does not lead."""


def find(tool: str) -> str | None:
    """Where a program is, None where it is not installed."""
    return shutil.which(tool) or shutil.which(tool, path=PLACES)


def needs(tool: str) -> pytest.MarkDecorator:
    """Skips what cannot run without this program."""
    reason = f"{tool} is not installed: `make peers`, or apt-get install {PACKAGES[tool]}"
    return pytest.mark.skipif(find(tool) is None, reason=reason)
