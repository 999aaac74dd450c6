"""The Contact a trunk reaches us by."""

from __future__ import annotations

import pytest

from gateway.base.values import HostPort
from gateway.sip.flow import Flow
from gateway.trunks.contact import contact_of
from tests.sites import made_trunk

PLAIN = "sip:pbx.example"


@pytest.mark.parametrize(
    ("local", "media", "host"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("0.0.0.0", None, "198.51.100.1"),
        ("::", None, "198.51.100.1"),
        ("192.0.2.1", {"bind": "10.0.0.2", "advertise": "203.0.113.9"}, "203.0.113.9"),
        ("0.0.0.0", {"bind": "10.0.0.2", "advertise": "203.0.113.9"}, "203.0.113.9"),
    ],
)
def test_it_is_the_flows_address_or_the_advertised_one(local: str, media: dict[str, str] | None, host: str) -> None:
    flow = Flow(1, "tls", HostPort(local, 5061), HostPort("192.0.2.9", 5061), "pbx")
    contact = contact_of(made_trunk(PLAIN, media=media), flow, "198.51.100.1", "acme")
    assert str(contact.uri) == f"sip:acme@{host}:5061;transport=tls"
