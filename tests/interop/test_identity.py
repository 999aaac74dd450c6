"""What a carrier and a PBX see of who calls, with SIPp as the judge: it fails where a message is not as they want."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import REALM, GatewayProcess, GatewaySetup, Record
from tests.rig.ports import free_port
from tests.rig.sipp import Scenario, SippTrunk, loopback, sdp
from tests.rig.tools import needs

pytestmark = [
    pytest.mark.interop,
    needs("sipp"),
]

CARRIER, PBX = "carrier", "pbx"
UUI = "User-to-User: 56a390f3;encoding=hex"
NOBODY = "anonymous@anonymous.invalid"


class IdentityStand:
    """A gateway in Germany between a carrier, which wants numbers, and a PBX, which is trusted."""

    def __init__(self, directory: Path) -> None:
        self.hosts = {CARRIER: loopback(21), PBX: loopback(22)}
        self.ports = {name: free_port(host=host) for name, host in self.hosts.items()}
        trunks = {
            name: {
                "target": f"sip:{host}:{self.ports[name]}",
                "security": "legacy",
                "networks": [f"{host}/32"],
                "reliable_provisional": False,
                "pass_headers": ["User-to-User"],
            }
            for name, host in self.hosts.items()
        }
        trunks[CARRIER] |= {
            "number_format": "national",
            "contact": "sbc.example.com",
            "identity": {
                "from": "number",
                "domain": "acme.example",
                "user_phone": True,
                "send": "asserted",
                "names": True,
            },
        }
        trunks[PBX] |= {
            "trust_identity": True,
            "identity": {"send": "asserted", "privacy": "pass", "diversion": "pass", "history_info": "pass"},
        }
        setup = GatewaySetup(
            directory,
            trunks=trunks,
            outbound=[
                {"id": "world", "dialled": "+[1-9]X.", "trunk": CARRIER},
                {"id": "phones", "dialled": "6XX", "trunk": PBX},
            ],
            inbound=[{"id": "sales", "dialled": "+4930100", "group": "sales"}],
            people={"alice": {"number": "+4930123451", "numbers": ["+4930123450"], "display_name": "Alice Example"}},
            dialplan={
                "country": 49,
                "groups": {"sales": {"members": ["alice", "bob"], "ring": "in_turn", "seconds": 1}},
                "permissions": [{"id": "premium", "deny": ["+49900*"]}],
            },
        )
        self.gateway = GatewayProcess(setup)
        self.loop = asyncio.Runner()

    def sipp(self, directory: Path, scenario: Scenario, trunk: str) -> SippTrunk:
        return SippTrunk(directory, scenario, self.hosts[trunk], self.ports[trunk], self.gateway.setup.sip_port)

    def called(
        self, directory: Path, scenario: Scenario, trunk: str, number: str, *more: tuple[str, str], from_: str = ""
    ) -> None:
        """Alice calls that number, and hangs up when it has answered."""

        async def play() -> None:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                call = BrowserCall(browser, BrowserMedia(), secrets.token_hex(8))
                call.uri, call.remote = f"sip:{number}@{REALM}", f"<sip:{number}@{REALM}>"
                call.local = f"{from_};tag={call.tag}" if from_ else call.local
                browser.calls[call.call_id] = call
                await call.invite(more)
                response = await call.final()
                assert response.status == 200, response.status
                await call.media.connected()
                await call.hang_up()
            finally:
                await browser.close()

        with self.sipp(directory, scenario, trunk):
            self.loop.run(play())

    def calling(
        self,
        directory: Path,
        scenario: Scenario,
        trunk: str,
        talk: Callable[[ScriptedBrowser, ScriptedBrowser], Awaitable[None]],
    ) -> Record:
        """SIPp calls; alice and bob are there."""

        async def play() -> None:
            alice, bob = [await ScriptedBrowser(self.gateway.setup.origin, name).sign_in() for name in ("alice", "bob")]
            try:
                with self.sipp(directory, scenario, trunk) as sipp:
                    await talk(alice, bob)
                    await asyncio.to_thread(sipp.finish)
            finally:
                await alice.close()
                await bob.close()

        self.loop.run(play())
        return self.gateway.final(str(self.gateway.records("call.start")[-1]["call_uid"]))


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityStand]:
    made = IdentityStand(tmp_path_factory.mktemp("identity"))
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0
    made.loop.run(asyncio.sleep(0.25))
    made.loop.close()
    assert "Traceback" not in made.gateway.log


def carrier(wanted: str, lacks: str = "") -> Scenario:
    """A trunk that answers when this stands in the INVITE."""
    scenario = Scenario().gets("INVITE", has=wanted, lacks=lacks)
    return scenario.says(200, sdp(), UUI).gets("ACK").gets("BYE").says(200)


AS_WANTED = (
    "INVITE sip:0301234@[^ ]*;user=phone SIP",
    'From: "Alice Example" <sip:030123451@acme.example;user=phone>;tag=',
    "Contact: <sip:gateway@sbc.example.com:",
    'P-Asserted-Identity: "Alice Example" <sip:030123451@acme.example;user=phone>',
)
"""In the order of the message."""


@pytest.mark.parametrize("dialled", ["0301234", pytest.param("0049301234", marks=pytest.mark.slow)])
def test_a_carrier_sees_number_domain_and_identity_as_it_wants_them(
    stand: IdentityStand, tmp_path: Path, dialled: str
) -> None:
    wanted = carrier(".*".join(AS_WANTED), lacks="sip:alice|192[.]168")
    stand.called(tmp_path, wanted, CARRIER, dialled)


def test_a_carrier_that_is_not_trusted_sees_nobody_who_wants_privacy(stand: IdentityStand, tmp_path: Path) -> None:
    """As JsSIP asks for it."""
    nobody = carrier(f'From: "Anonymous" <sip:{NOBODY}>;tag=', lacks="lice|030123451|Privacy|P-Asserted")
    wishes = (("P-Preferred-Identity", f"<sip:alice@{REALM}>"), ("Privacy", "id"))
    stand.called(tmp_path, nobody, CARRIER, "0301234", *wishes, from_=f'"Anonymous" <sip:{NOBODY}>')


def test_a_trusted_pbx_sees_who_it_is_and_the_wish(stand: IdentityStand, tmp_path: Path) -> None:
    known = carrier("P-Asserted-Identity: <sip:.4930123450@.*Privacy: id", lacks="From: .*alice")
    wishes = (("P-Preferred-Identity", "<tel:030123450>"), ("Privacy", "id"))
    stand.called(tmp_path, known, PBX, "600", *wishes)


def test_a_named_header_passes_and_no_other_one(stand: IdentityStand, tmp_path: Path) -> None:
    passed = carrier("User-to-User: 1234", lacks="X-Secret|User-Agent")
    stand.called(tmp_path, passed, PBX, "600", ("User-to-User", "1234"), ("X-Secret", "1"), ("User-Agent", "Soft/1"))


def test_a_group_rings_in_turn_and_hears_who_was_called_before(stand: IdentityStand, tmp_path: Path) -> None:
    trunk = Scenario(is_called=False, number="030100")
    asserted = 'P-Asserted-Identity: "Carol" <sip:03099@x.invalid>'
    trunk.asks("INVITE", sdp(), asserted, "Diversion: <sip:0308@10.0.0.1>;reason=no-answer", UUI)
    trunk.gets(100, optional=True).gets(180, optional=True)
    trunk.gets(200, has="P-Asserted-Identity: <sip:bob@").acknowledges(sequence=1)
    trunk.rests(200).asks("BYE").gets(200)

    async def bob_takes_it(alice: ScriptedBrowser, bob: ScriptedBrowser) -> None:
        async with asyncio.timeout(10):
            first = await alice.incoming.get()
            await first.ring()
            second = await bob.incoming.get()  # a second later
            assert second.offer is not None
            offered = second.offer
            assert offered.headers.get("Diversion") == f"<sip:+49308@{REALM}>;reason=no-answer"
            assert offered.headers.get("User-to-User") == "56a390f3;encoding=hex"
            assert str(offered.from_.uri) == f"sip:+493099@{REALM}"
            await second.accept()
            await second.end()

    final = stand.calling(tmp_path, trunk, PBX, bob_takes_it)
    assert (final["termination"], final["user"]) == ("hangup-trunk", "bob")
