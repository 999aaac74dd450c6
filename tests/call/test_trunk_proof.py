"""What a trunk must prove to begin a call: its address, its certificate, a password, or several of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.signalling import TlsInfo, TransportName
from gateway.base.values import HostPort
from gateway.call.guesses import NAME_AT_PLACE
from gateway.call.manager import CallManager
from gateway.call.trunk_identity import NO_CERTIFICATE
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from tests import messages
from tests.call.machine_scene import answer
from tests.call.office import Office
from tests.call.test_flows import in_dialog
from tests.sip.digest import authorization, parameters
from tests.sites import REALM, made_trunk

pytestmark = pytest.mark.asyncio

NETWORKS = ["192.0.2.0/24"]
HERE = HostPort("127.0.0.1", 5061)
PASSWORD = "open sesame"
LOGIN = {"user": "acme", "password": PASSWORD}
NUMBER = f"sip:100@{REALM}"


class Yard:
    """A manager with these trunks, and peers that call in from their networks."""

    def __init__(self, directory: Path, trunks: Mapping[str, Mapping[str, object]]) -> None:
        self.office = Office(directory)
        made = {
            name: made_trunk(
                str(settings.get("target", "sip:pbx.example;transport=tls")),
                name=name,
                **{"networks": NETWORKS, **{key: value for key, value in settings.items() if key != "target"}},
            )
            for name, settings in trunks.items()
        }
        site = self.office.sites.current
        self.office.sites.current = replace(site, trunks=made)
        self.now = 1000.0
        object.__setattr__(self.office.services, "clock", lambda: self.now)
        self.office.manager = CallManager(self.office.services, None)  # type: ignore[arg-type]
        self._keys = 0
        self._cseq = 0

    async def ask(self, flow: Flow, value: str = "", *, method: str = "INVITE", uri: str = NUMBER) -> Response:
        """The last answer to a request that carries these credentials."""
        self._keys += 1
        key = f"ask-{self._keys}"
        self.office.request(request(key, method, value, uri), key=key, flow=flow)
        await self.office.settle()
        return [response for k, response in self.office.sip.answers if k == key][-1]

    async def nonce(self, flow: Flow) -> str:
        """Of a challenge this flow has had."""
        challenged = await self.ask(flow)
        assert challenged.status == 401
        return parameters(challenged.headers.get_all("WWW-Authenticate")[0])["nonce"]

    async def sign_in(self, flow: Flow, **changes: str) -> Response:
        """A request with credentials for a fresh challenge."""
        return await self.ask(flow, proof(await self.nonce(flow), **changes))

    @property
    def calls(self) -> list[object]:
        """The trunks of the calls that began."""
        return [record["trunk"] for record in self.office.audit.records if record["type"] == "call.start"]

    @property
    def failures(self) -> list[tuple[object, object]]:
        return [(r["user"], r["reason"]) for r in self.office.audit.records if r["type"] == "auth.fail"]


def proof(nonce: str, **changes: str) -> str:
    given = {"username": "acme", "password": PASSWORD, "realm": REALM, "uri": NUMBER, "method": "INVITE"}
    return authorization(nonce, **{**given, **changes})


def request(key: str, method: str, value: str, uri: str) -> Request:
    lines = messages.fields(
        method,
        via=f"SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK{key}",
        from_="<sip:+4930123@pbx.example>;tag=f",
        to=f"<{uri}>",
        call_id=key,
        contact="<sip:pbx@192.0.2.7>",
    )
    message = messages.request(method, uri, lines, answer("RTP/SAVP", "") if method == "INVITE" else b"")
    return message.with_added([("Authorization", value)]) if value else message


def flow(
    *trunks: str,
    number: int = 70,
    host: str = "192.0.2.7",
    transport: TransportName = "tls",
    proved: tuple[str, ...] = (),
) -> Flow:
    """A connection from the networks of these trunks, the likeliest first, whose peer proved to be some of them."""
    tls = None
    if transport == "tls":
        reason = "" if proved else "the peer sent no certificate"
        tls = TlsInfo("TLSv1.3", "", "", "", bool(proved), "pbx.example" if proved else "", reason)
    also = frozenset(trunks[1:])
    return Flow(number, transport, HERE, HostPort(host, 5061), trunks[0], tls, also=also, proved=frozenset(proved))


def passed(response: Response) -> bool:
    """Whether the request was served: the call then ends for reasons of its own, as nobody is signed in."""
    return response.status not in (401, 403, 503)


# --- digest ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_without_its_password_a_trunk_begins_no_call_and_with_it_each_one(
    tmp_path: Path, transport: TransportName
) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    here = flow("pbx", transport=transport)
    challenged = await yard.ask(here)
    offered = [parameters(value) for value in challenged.headers.get_all("WWW-Authenticate")]
    assert challenged.status == 401
    assert [(given["realm"], given["algorithm"], given["qop"]) for given in offered] == [
        (REALM, "SHA-256", "auth"),
        (REALM, "MD5", "auth"),
    ]
    assert yard.calls == []
    for number, algorithm in enumerate(("SHA-256", "MD5"), start=1):
        assert passed(await yard.sign_in(here, algorithm=algorithm))
        assert yard.calls == ["pbx"] * number
    assert (await yard.ask(here)).status == 401  # each call is proved anew
    assert yard.failures == []


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "guess"},
        {"username": "nobody"},
        {"username": "alice"},
        {"uri": f"sip:999@{REALM}"},
        {"method": "OPTIONS"},
        {"qop": ""},
        {"nc": ""},
        {"response": "0" * 64},
        {"algorithm": "SHA-512-256"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_whatever_is_wrong_the_answer_is_the_same(tmp_path: Path, changes: dict[str, str]) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    answers = [await yard.ask(flow("pbx")), await yard.sign_in(flow("pbx"), **changes)]
    shapes = [[name for name, _ in response.headers] for response in answers]
    assert [response.status for response in answers] == [401, 401]
    assert shapes[0] == shapes[1]
    assert "stale" not in answers[1].headers.get_all("WWW-Authenticate")[0]
    assert yard.calls == []
    assert yard.office.services.counters[Counter.AUTH_FAILED] == 1
    assert [user for user, _ in yard.failures] == [changes.get("username", "acme")]


async def test_an_unauthenticated_peer_learns_nothing_of_numbers_methods_or_bodies(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    for method in ("INVITE", "OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "REFER"):
        for uri in (NUMBER, f"sip:nobody@{REALM}", "http://x", "sip:elsewhere.example"):
            assert (await yard.ask(flow("pbx"), method=method, uri=uri)).status == 401


async def test_credentials_are_good_once(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    value = proof(await yard.nonce(flow("pbx")))
    assert passed(await yard.ask(flow("pbx"), value))
    again = await yard.ask(flow("pbx"), value)
    assert again.status == 401
    assert "stale=true" in again.headers.get_all("WWW-Authenticate")[0]
    assert yard.calls == ["pbx"]


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_credentials_are_good_on_the_flow_that_was_asked_only(tmp_path: Path, transport: TransportName) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    value = proof(await yard.nonce(flow("pbx", transport=transport)))
    elsewhere = flow("pbx", number=71, host="192.0.2.66", transport=transport)
    assert (await yard.ask(elsewhere, value)).status == 401
    assert yard.calls == []
    assert passed(await yard.ask(flow("pbx", transport=transport), value))


async def test_who_was_asked_nothing_makes_no_trunk_wait(tmp_path: Path) -> None:
    """Datagrams under a forged address carry no nonce of ours; a hundred of them must not delay the trunk itself."""
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    here = flow("pbx", transport="udp")
    for _ in range(100):
        forged = await yard.ask(here, proof("f" * 60, password="guess"))
        assert "stale=true" in forged.headers.get_all("WWW-Authenticate")[0]
    assert passed(await yard.sign_in(here))
    assert yard.failures == []


async def test_who_guesses_waits_longer_and_longer_whether_the_guess_is_right_or_not(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    for _ in range(NAME_AT_PLACE.free + 1):
        assert (await yard.sign_in(flow("pbx"), password="guess")).status == 401
    for password in ("guess", PASSWORD):
        early = await yard.sign_in(flow("pbx"), password=password)
        assert (early.status, early.headers.get("Retry-After")) == (503, "1")
    assert yard.office.services.counters[Counter.AUTH_DELAYED] == 2
    yard.now += 1.1
    assert passed(await yard.sign_in(flow("pbx")))


async def test_a_stale_nonce_is_asked_for_again_and_no_guess(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    value = proof(await yard.nonce(flow("pbx")))
    yard.now += 301
    late = await yard.ask(flow("pbx"), value)
    assert "stale=true" in late.headers.get_all("WWW-Authenticate")[0]
    assert yard.failures == []


async def test_a_trunks_account_signs_in_no_browser_and_a_browsers_no_trunk(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    assert (await yard.sign_in(flow("pbx"), username="alice", password="alice")).status == 401
    assert "acme" not in yard.office.sites.current.users


async def test_the_proof_of_a_connection_is_recorded_once(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    for number in (70, 70, 71):
        assert passed(await yard.sign_in(flow("pbx", number=number)))
    assert yard.office.sip.kept == [70, 71]
    told = [record["user"] for record in yard.office.audit.records if record["type"] == "auth.ok"]
    assert told == ["acme", "acme"]


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inbound", "proved", "signs_in", "status"),
    [
        ({"certificate": True}, True, False, 0),
        ({"certificate": True}, False, False, 403),
        ({"certificate": True, **LOGIN}, True, False, 401),
        ({"certificate": True, **LOGIN}, False, False, 403),
        ({"certificate": True, **LOGIN}, True, True, 0),
        ({"certificate": True, **LOGIN, "require": "any"}, True, False, 0),
        ({"certificate": True, **LOGIN, "require": "any"}, False, False, 401),
        ({"certificate": True, **LOGIN, "require": "any"}, False, True, 0),
        (LOGIN, True, False, 401),
        (None, False, False, 0),
    ],
)
async def test_a_trunk_proves_all_that_is_asked_of_it_or_any_where_that_is_enough(
    tmp_path: Path, inbound: Mapping[str, object] | None, proved: bool, signs_in: bool, status: int
) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": inbound} if inbound else {}})
    here = flow("pbx", proved=("pbx",) if proved else ())
    response = await (yard.sign_in(here) if signs_in else yard.ask(here))
    assert passed(response) if status == 0 else response.status == status
    assert yard.calls == (["pbx"] if status == 0 else [])


async def test_without_the_certificate_no_password_is_looked_at(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": {"certificate": True, **LOGIN}}})
    nonce = await yard.nonce(flow("pbx", proved=("pbx",)))
    said = {password: await yard.ask(flow("pbx"), proof(nonce, password=password)) for password in (PASSWORD, "x")}
    assert [response.status for response in said.values()] == [403, 403]
    assert yard.failures[0] == ("", NO_CERTIFICATE)
    assert yard.office.services.counters[Counter.TRUNK_UNPROVED] == 2
    assert yard.office.services.counters[Counter.AUTH_FAILED] == 0


async def test_a_plain_connection_proves_no_certificate(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": {"certificate": True}}})
    for transport in ("udp", "tcp"):
        assert (await yard.ask(flow("pbx", transport=transport))).status == 403


# --- several trunks at one address -------------------------------------------------------------------------------


TWO = {
    "north": {"inbound": {"user": "north", "password": PASSWORD}},
    "south": {"inbound": {"user": "south", "password": "another"}},
}


async def test_of_two_trunks_at_one_address_the_password_says_which_calls(tmp_path: Path) -> None:
    yard = Yard(tmp_path, TWO)
    here = flow("north", "south")
    assert passed(await yard.sign_in(here, username="south", password="another"))
    assert passed(await yard.sign_in(here, username="north"))
    assert (await yard.sign_in(here, username="north", password="another")).status == 401
    assert yard.calls == ["south", "north"]


async def test_a_certificate_that_is_anothers_takes_no_password_of_this_one(tmp_path: Path) -> None:
    yard = Yard(tmp_path, TWO)
    here = flow("north", "south", proved=("north",))
    assert (await yard.sign_in(here, username="south", password="another")).status == 401
    assert passed(await yard.sign_in(here, username="north"))


async def test_who_shows_no_certificate_is_the_trunk_that_needs_none(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": {"certificate": True}}, "lab": {"security": "legacy"}})
    await yard.ask(flow("pbx", "lab", proved=("pbx",)))
    await yard.ask(flow("pbx", "lab"))
    assert yard.calls == ["pbx", "lab"]


async def test_a_password_is_good_from_the_networks_of_its_trunk_only(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"north": TWO["north"], "far": {**TWO["south"], "networks": ["198.51.100.0/24"]}})
    here = flow("north", "far")  # its target was found at this address once
    assert (await yard.sign_in(here, username="south", password="another")).status == 401
    assert yard.calls == []


async def test_of_those_left_the_narrowest_network_counts(tmp_path: Path) -> None:
    yard = Yard(
        tmp_path,
        {
            "pbx": {"inbound": {"certificate": True}},
            "all": {"networks": ["0.0.0.0/0"], "security": "legacy"},
            "zone": {"networks": ["192.0.2.0/25"], "security": "legacy"},
        },
    )
    await yard.ask(flow("pbx", "all", "zone"))
    assert yard.calls == ["zone"]


# --- inside dialogs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["BYE", "INVITE"])
async def test_what_belongs_to_a_call_needs_no_password(tmp_path: Path, method: str) -> None:
    """A PBX answers challenges inside a dialog seldom; its tags, address and connection are what counts there."""
    office = Office(tmp_path)
    site = office.sites.current
    old = made_trunk("sip:127.0.0.3", name="old", networks=["127.0.0.3/32"], security="legacy", inbound=LOGIN)
    office.sites.current = replace(site, trunks={**site.trunks, "old": old})
    here = Flow(7, "udp", HERE, HostPort("127.0.0.3", 5060), "old")
    office.sip.flows["old"] = here
    office.call("700")
    await office.settle()
    sent: Request = [request for request, _ in office.sip.sent.values()][-1]
    phone = answer().replace(b"127.0.0.2", b"127.0.0.3")
    office.reply("INVITE", 200, phone)
    await office.settle()
    office.request(in_dialog(sent, method, phone if method == "INVITE" else b""), key="in", flow=here)
    await office.settle()
    assert office.statuses("in") in ([200], [491])  # 491: the caller has not acknowledged yet
    assert ("call.final" in office.audit.types()) is (method == "BYE")


async def test_what_belongs_to_no_call_is_481_and_tells_nothing(tmp_path: Path) -> None:
    yard = Yard(tmp_path, {"pbx": {"inbound": LOGIN}})
    bye = request("x", "BYE", "", NUMBER).with_header("To", f"<{NUMBER}>;tag=gone")
    yard.office.request(bye, key="in", flow=flow("pbx"))
    assert yard.office.statuses("in") == [481]
