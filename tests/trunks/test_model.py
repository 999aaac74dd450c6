"""What is known of a trunk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.trunks.model import TrunkTls
from tests.sites import made_trunk


@pytest.mark.parametrize(
    ("target", "tls", "name"),
    [
        ("sip:pbx.example;transport=tls", TrunkTls(), "pbx.example"),
        ("sip:pbx.example;transport=tls", TrunkTls(names=("other.example",)), "pbx.example"),
        ("sip:192.0.2.5;transport=tls", TrunkTls(names=("pbx.example", "two.example")), "pbx.example"),
        ("sip:192.0.2.5;transport=tls", TrunkTls(), "192.0.2.5"),
        ("sip:192.0.2.5;transport=tls", TrunkTls(pins=frozenset({"ab"})), "192.0.2.5"),
    ],
)
def test_our_hello_asks_for_the_name_that_was_written(target: str, tls: TrunkTls, name: str) -> None:
    trunk = replace(made_trunk(target), tls=tls)
    assert trunk.server_name(trunk.target) == name
