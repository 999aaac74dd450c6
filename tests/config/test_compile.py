from __future__ import annotations

import dataclasses
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.base.dtmf import Dtmf
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.profiles import Profile
from gateway.base.values import HostPort, Secret
from gateway.config import schema
from gateway.config.compile import compile_audit, compile_dialplan, compile_listeners, compile_media, compile_trunk
from gateway.media.places import BrowserPlace, MediaPlaces, TrunkPlace
from gateway.quality.watch import Marks
from gateway.routing.dialplan import Dialplan, InboundRule, OutboundRule
from gateway.routing.e164 import NumberFormat
from gateway.sip.digest_client import Login
from gateway.site import CallLimits, ConnectionShares, SipListener
from gateway.trunks.identity import Asserts, CallerFrom, Passing, PrivacyMode, TrunkIdentity
from gateway.trunks.model import Inbound, ListenerTls, TrunkDtls, TrunkTls
from gateway.trunks.registration import RegistrationPlan
from gateway.trunks.target import TargetChoice, TrunkTarget
from tests.sip.digest import credentials
from tests.sites import REALM, TRUNK_PLACE, made_site, made_trunk

PLAIN = "sip:pbx.example"
CHANGED: dict[str, tuple[object, object]] = {
    "target": ("sip:10.0.0.5:5070;transport=tcp", TrunkTarget("10.0.0.5", 5070, "tcp")),
    "targets": (
        ["sip:b.example", {"target": "sips:a.example", "priority": 1, "weight": 7}],
        (
            TargetChoice(TrunkTarget("b.example", 5060, "udp", False, False)),
            TargetChoice(TrunkTarget("a.example", 5061, "tls", False, False), 1, 7),
        ),
    ),
    "display_name": ("Acme Telecom", "Acme Telecom"),
    "security": ("prefer", Profile.PREFER),
    "profile": ("transition", "transition"),
    "networks": (["192.0.2.0/24"], (ip_network("192.0.2.0/24"),)),
    "media_networks": (["2001:db8::/32"], (ip_network("2001:db8::/32"),)),
    "tls": (
        {
            "ca": "ca.pem",
            "names": ["A.example"],
            "certificate": "c.pem",
            "key": "k.pem",
            "key_password": "opensesame",
            "wildcards": "yes",
            "pin_sha256": "AB" * 32,
        },
        TrunkTls(
            Path("ca.pem"),
            ("a.example",),
            Path("c.pem"),
            Path("k.pem"),
            Secret("opensesame"),
            wildcards=True,
            pins=frozenset({"ab" * 32}),
        ),
    ),
    "keying": (["dtls", "sdes"], (Keying.DTLS, Keying.SDES)),
    "dtls": (
        {"setup": "active", "transport": "RTP/SAVPF", "ice": "yes"},
        TrunkDtls(Setup.ACTIVE, Proto.SAVPF, ice=True),
    ),
    "crlf_keepalive": (30, 30),
    "inbound": (
        {"user": "acme", "password": "opensesame", "certificate": "yes", "require": "any"},
        Inbound("acme", credentials("acme", "opensesame", REALM), certificate=True, any_is_enough=True),
    ),
    "media": ({"bind": "10.0.0.2", "advertise": "203.0.113.9"}, TrunkPlace("10.0.0.2", "203.0.113.9")),
    "registrations": (
        [{"user": "acme", "auth": {"user": "a", "password": "opensesame"}}],
        (RegistrationPlan("pbx", "acme", "pbx.example", 3600, Login("a", Secret("opensesame"), peer="pbx")),),
    ),
    "auth": ({"user": "acme", "password": "opensesame"}, Login("acme", Secret("opensesame"), peer="pbx")),
    "keepalive": ("20", 20),
    "tcp_fallback": (True, True),
    "max_calls": (30, 30),
    "pin": (False, False),
    "rtcp_mux": (True, True),
    "trust_identity": (True, True),
    "reliable_provisional": (False, False),
    "identity": (
        {"from": "fixed", "number": "+4930", "domain": "Gw.example", "send": "asserted", "privacy": "pass"}
        | {"names": True, "user_phone": True, "diversion": "pass", "history_info": "pass"},
        TrunkIdentity(
            CallerFrom.FIXED,
            "+4930",
            "gw.example",
            names=True,
            user_phone=True,
            asserts=Asserts.ASSERTED,
            privacy=PrivacyMode.ON,
            diversion=Passing.ON,
            history=Passing.ON,
        ),
    ),
    "contact": ("sbc.example", "sbc.example"),
    "pass_headers": (["User-to-User"], ("User-to-User",)),
    "number_format": ("national", NumberFormat.NATIONAL),
    "delayed_offer": (True, True),
    "session_expires": (600, 600),
    "dtmf": ("auto", Dtmf.AUTO),
    "codecs": (["PCMA"], ("PCMA",)),
}


@pytest.mark.parametrize("key", schema.Trunk.model_fields)
def test_each_key_of_a_trunk_reaches_those_who_work_by_it(key: str) -> None:
    written, compiled = CHANGED[key]
    target = str(written) if key == "target" else PLAIN
    settings: dict[str, Any] = {} if key == "target" else {key: written}
    trunk = made_trunk(target, **settings)
    assert getattr(trunk, key) == compiled
    assert getattr(made_trunk(PLAIN), key) != compiled


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("sip:pbx.example;transport=tls", "pbx.example", None),
        ("sip:pbx.example:5070", "pbx.example", 5070),
        ("sip:pbx.example:5060", "pbx.example", 5060),
        ("sips:pbx.example", "pbx.example", None),
        ("sip:[2001:db8::1]:5070", "2001:db8::1", 5070),
    ],
)
def test_addresses_at_a_trunk_have_its_host_and_a_port_only_where_one_was_written(
    target: str, host: str, port: int | None
) -> None:
    trunk = made_trunk(target)
    assert (trunk.target.host, trunk.port) == (host, port)


def test_a_trunk_without_addresses_of_its_own_has_those_of_all_trunks() -> None:
    assert made_trunk(PLAIN).media is TRUNK_PLACE
    assert TRUNK_PLACE.advertised == "127.0.0.1"
    assert made_trunk(PLAIN, media={"bind": "10.0.0.2"}).media.advertised == "10.0.0.2"


def test_a_target_that_is_none_is_not_compiled() -> None:
    with pytest.raises(ValueError, match="transport"):
        compile_trunk("pbx", schema.Trunk(target="sip:pbx.example;transport=sctp"), TRUNK_PLACE, "pbx.example")


def test_the_shares_of_connections_are_those_of_the_schema_one_by_one() -> None:
    written = {name: 100 + number for number, name in enumerate(schema.Connections.model_fields)}
    assert dataclasses.asdict(made_site(limits={"connections": written}).shares) == written
    assert dataclasses.asdict(ConnectionShares()) == schema.Connections().model_dump()


def test_the_limits_of_calls_are_those_of_the_schema() -> None:
    written = {
        "calls": 7,
        "calls_per_user": 3,
        "registrations_per_user": 2,
        "ring_seconds": 20,
        "silence_seconds": 90,
        "reconnect_seconds": 12,
    }
    site = made_site(limits={**written, "registrations_full": "refuse"})
    assert dataclasses.asdict(site.limits) == {**written, "registrations_displace": False}
    assert made_site().limits == CallLimits()
    assert made_site().quality == Marks()


def test_a_dialplan_keeps_its_rules_in_their_order() -> None:
    file = schema.DialplanFile.model_validate(
        {
            "emergency": ["112"],
            "emergency_trunks": ["pbx"],
            "outbound": [
                {"id": "a", "dialled": "0*", "trunk": "pbx", "strip": 1, "prefix": "+49"},
                {"id": "sos", "dialled": "110", "trunk": "old", "emergency": "true"},
                {"id": "ext", "dialled": "11", "user": "bob"},
            ],
            "inbound": [{"id": "b", "dialled": "*", "user": "alice", "trunk": "pbx"}],
        }
    )
    assert compile_dialplan(file, {"alice": 1}) == Dialplan(
        outbound=(
            OutboundRule("a", "0*", "pbx", 1, "+49"),
            OutboundRule("sos", "110", "old", emergency=True),
            OutboundRule("ext", "11", user="bob"),
        ),
        inbound=(InboundRule("b", "*", "alice", "pbx"),),
        emergency=("112",),
        emergency_trunks=("pbx",),
        users=frozenset({"alice"}),
    )
    assert compile_dialplan(file).users is None


def test_ranges_of_ports_hold_their_last_one() -> None:
    media = schema.Media.model_validate(
        {
            "browser": {"bind": ["10.0.0.2"], "ports": "10000-10001", "dtls_setup": "active"},
            "trunk": {"bind": "10.0.0.3", "advertise": "203.0.113.9", "ports": "20000-20099"},
            "workers": 2,
        }
    )
    assert compile_media(media) == MediaPlaces(
        BrowserPlace(("10.0.0.2",), ("10.0.0.2",), range(10000, 10002), Setup.ACTIVE),
        TrunkPlace("10.0.0.3", "203.0.113.9"),
        range(20000, 20100),
        2,
    )


@pytest.mark.parametrize(
    ("ports", "cores", "workers"),
    [("10000-10004", 2, 2), ("10000-10002", 8, 2), ("10000-10001", 8, 1), ("10000", 8, 1)],
)
def test_there_is_a_worker_for_each_core_that_has_a_port_beside_the_spare_one(
    ports: str, cores: int, workers: int
) -> None:
    places = {"browser": {"bind": ["10.0.0.2"], "ports": ports}, "trunk": {"bind": "10.0.0.3", "ports": "20000-20099"}}
    assert compile_media(schema.Media.model_validate(places), cores).workers == workers
    assert compile_media(schema.Media.model_validate({**places, "workers": 1}), cores).workers == 1


def test_listeners_come_with_what_they_prove() -> None:
    listen = schema.Listen.model_validate(
        {
            "web": {"address": "127.0.0.1:8443", "origins": ["https://a.example"], "allow_missing_origin": True},
            "sip": ["udp:0.0.0.0:5060", "tls:[::1]:5061"],
            "tls": {"certificate": "c.pem", "key": "k.pem", "key_password": "opensesame", "client_ca": "ca.pem"},
        }
    )
    made = compile_listeners(listen)
    assert (made.web.address, made.web.origins) == (HostPort("127.0.0.1", 8443), ("https://a.example",))
    assert made.web.allow_missing_origin
    assert made.sip == (SipListener("udp", HostPort("0.0.0.0", 5060)), SipListener("tls", HostPort("::1", 5061)))
    assert made.tls == ListenerTls(Path("c.pem"), Path("k.pem"), Secret("opensesame"), Path("ca.pem"))
    assert "opensesame" not in repr(made)


@pytest.mark.parametrize(("written", "at_once"), [("refuse_new", True), ("buffer_then_refuse_new", False)])
def test_the_log_has_its_memory_in_octets(written: str, at_once: bool) -> None:
    audit = schema.Audit.model_validate({"directory": "log", "on_unavailable": written, "buffer_mb": "0.5"})
    made = compile_audit(audit)
    assert (made.directory, made.refuses_at_once, made.buffer_octets) == (Path("log"), at_once, 512 * 1024)


def test_a_site_cannot_be_changed_and_shows_no_digest_of_a_password() -> None:
    site = made_site(trunks={"pbx": {"target": PLAIN, "security": "legacy"}})
    with pytest.raises(dataclasses.FrozenInstanceError):
        site.realm = "other.example"  # type: ignore[misc]
    with pytest.raises(TypeError):
        site.trunks["new"] = site.trunks["pbx"]  # type: ignore[index]
    assert "users" not in repr(site)
    assert site.policies.standing("pbx").profile is Profile.LEGACY


@pytest.mark.parametrize("seconds", [1, 9, -1, 3601])
def test_a_keepalive_is_no_more_frequent_than_its_answers_may_be_late(seconds: int) -> None:
    with pytest.raises(ValueError, match="crlf_keepalive"):
        made_trunk(PLAIN, crlf_keepalive=seconds)
    assert [made_trunk(PLAIN, crlf_keepalive=kept).crlf_keepalive for kept in (0, 10, 3600)] == [0, 10, 3600]
