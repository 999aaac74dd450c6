"""What is thrown at a media port without belonging to a call is counted where the administrator looks."""

from __future__ import annotations

import socket

import pytest

from tests.attacks.target import Target
from tests.rig.gateway import wait_for

pytestmark = pytest.mark.attack


def test_a_stray_client_hello_shows_in_the_metrics(target: Target) -> None:
    before = target.metrics()["relay_dtls_rejected"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x16\xfe\xfd" + bytes(60), ("127.0.0.1", target.setup.browser_port))
    wait_for(lambda: target.metrics()["relay_dtls_rejected"] > before, 8.0, "not counted")
