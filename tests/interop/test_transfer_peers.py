"""Transfers among real phones without a gateway: what each of them does by itself, and how the gap is heard.

These hold the rig: when a transfer through the gateway fails, they say whether the phones still do their part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.certificates import create
from gateway.sip.address import NameAddr
from gateway.sip.dialog import Dialog
from gateway.sip.message import Request, Response
from gateway.sip.refer import Referral
from gateway.sip.subscription import Notice, Subscriptions
from tests.rig.audio import write_tone
from tests.rig.baresip import Baresip
from tests.rig.gateway import wait_for
from tests.rig.handover import HandOver
from tests.rig.phone import Phone
from tests.rig.ports import free_sip_port
from tests.rig.tools import needs
from tests.rig.trunk import FakeTrunk, description

pytestmark = pytest.mark.interop

HOST = "127.0.2.1"
TONES = {"alice": 440.0, "bob": 700.0, "carol": 1000.0}
TALK_SECONDS = 1.5
among_themselves = pytest.mark.slow
"""The gateway has no part in these; they say whether the phones do what they did when the rig was made."""


class Party:
    """A pjsua2 phone that plays its tone to every call and records all it hears, with the silence between."""

    def __init__(self, directory: Path, name: str, **options: Any) -> None:
        self.hertz = TONES[name]
        self.port = free_sip_port(HOST)
        tone = write_tone(directory / f"{name}-tone.wav", self.hertz, rate=16000, seconds=20)
        self.phone = Phone(
            directory, name, host=HOST, port=self.port, user=name, play=tone, timeline=True, **options
        ).start()

    @property
    def uri(self) -> str:
        return f"sip:anybody@{HOST}:{self.port}"

    def heard(self) -> HandOver:
        """Ends the phone and listens to what it recorded."""
        return self.phone.heard(*TONES.values())


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Callable[..., Party]]:
    started: list[Party] = []

    def start(name: str, **options: Any) -> Party:
        made = Party(tmp_path, name, **options)
        started.append(made)
        return made

    yield start
    for made in started:
        made.phone.stop()


def talk() -> None:
    """Let the tones run, as people do."""
    time.sleep(TALK_SECONDS)


@among_themselves
@pytest.mark.slow
def test_a_blind_transfer_hands_the_call_on_and_tells_how_it_went(party: Callable[..., Party]) -> None:
    alice, bob, carol = (party(name) for name in TONES)
    alice.phone.do("call", uri=bob.uri)
    alice.phone.wait("media")
    talk()
    alice.phone.do("xfer", uri=carol.uri)
    bob.phone.wait("refer", uri=carol.uri)
    alice.phone.wait("transfer", status=200, final=True)
    alice.phone.wait("state", text="DISCONNECTED", call=0)
    bob.phone.wait("state", text="CONFIRMED", call=1)
    talk()
    assert bob.heard().order == (alice.hertz, carol.hertz)
    assert carol.heard().order == (bob.hertz,)


@among_themselves
@pytest.mark.slow
def test_a_refused_transfer_leaves_the_call_as_it_was(party: Callable[..., Party]) -> None:
    alice, bob, carol = party("alice"), party("bob"), party("carol", answer=486)
    alice.phone.do("call", uri=bob.uri)
    alice.phone.wait("media")
    alice.phone.do("xfer", uri=carol.uri)
    alice.phone.wait("transfer", status=486, final=True)
    talk()
    heard = bob.heard()
    assert heard.order == (alice.hertz,)
    assert heard.gap_ms < 200


@among_themselves
@pytest.mark.slow
def test_an_attended_transfer_joins_the_two_who_were_called(party: Callable[..., Party]) -> None:
    alice, bob, carol = (party(name) for name in TONES)
    alice.phone.do("call", uri=bob.uri)
    alice.phone.wait("media", call=0)
    talk()
    alice.phone.do("call", uri=carol.uri)
    alice.phone.wait("media", call=1)
    talk()
    alice.phone.do("xfer_replaces", call=0, other=1)
    bob.phone.wait("refer")
    carol.phone.wait("replaced", call=0)
    alice.phone.wait("transfer", status=200, final=True, call=0)
    carol.phone.wait("state", text="DISCONNECTED", call=0)
    talk()
    assert bob.heard().order == (alice.hertz, carol.hertz)
    assert carol.heard().order == (alice.hertz, bob.hertz)


class Referee:
    """A peer that is asked to call somebody and tells how it goes, in the words the gateway has for it."""

    def __init__(self) -> None:
        self.trunk = FakeTrunk(HOST, free_sip_port(HOST), lambda _request: [(200, description(HOST))])
        self.trunk.status = 202
        self._subscriptions = Subscriptions()

    @property
    def uri(self) -> str:
        return f"sip:referee@{HOST}:{self.trunk.port}"

    def wait_referral(self) -> Referral:
        """What the phone asks for; it hears at once that we try."""
        wait_for(lambda: "REFER" in self.trunk.methods(), 10, lambda: f"no REFER: {self.trunk.methods()}")
        invite = next(r for r in self.trunk.seen if r.method == "INVITE")
        referral = Referral.read(next(r for r in self.trunk.seen if r.method == "REFER"))
        self._dialog = Dialog.uas(invite, "faketrunk")
        self._notify(self._subscriptions.open(referral.number, time.monotonic()))
        return referral

    def tell(self, referral: Referral, status: int) -> None:
        self._notify(self._subscriptions.progress(referral.number, status, time.monotonic()))

    def _notify(self, notice: Notice | None) -> None:
        """Send a NOTIFY and wait for the 200 to it."""
        assert notice is not None
        contact = NameAddr.parse(f"<sip:trunk@{HOST}:{self.trunk.port}>")
        request = notice.write(self._dialog.new_request("NOTIFY", contact))
        via = f"SIP/2.0/UDP {HOST}:{self.trunk.port};branch=z9hG4bK{request.cseq.number};rport"
        self.trunk.send(bytes(request.with_added([("Via", via)])))
        wait_for(lambda: self._answers(request), 5, f"no answer to {request.cseq}")
        (status,) = {response.status for response in self._answers(request)}
        assert self._subscriptions.answered(notice.number, status, time.monotonic()) is None
        assert status == 200

    def _answers(self, request: Request) -> list[Response]:
        return [r for r in self.trunk.responses if r.cseq == request.cseq]


@pytest.fixture
def referee() -> Iterator[Referee]:
    made = Referee()
    made.trunk.start()
    yield made
    made.trunk.stop()


@pytest.mark.parametrize("outcome", [200, 486])
def test_pjsua2_understands_what_the_gateway_would_tell_it(
    party: Callable[..., Party], referee: Referee, outcome: int
) -> None:
    alice = party("alice")
    alice.phone.do("call", uri=referee.uri)
    alice.phone.wait("state", text="CONFIRMED")
    alice.phone.do("xfer", uri="sip:carol@example.com")
    referral = referee.wait_referral()
    assert str(referral.refer_to.uri) == "sip:carol@example.com"
    alice.phone.wait("transfer", status=100, final=False)
    referee.tell(referral, 180)
    alice.phone.wait("transfer", status=180, final=False)
    referee.tell(referral, outcome)
    alice.phone.wait("transfer", status=outcome, final=True)


@pytest.mark.slow
def test_pjsua2_names_the_dialog_to_take_over_as_its_other_end_knows_it(
    party: Callable[..., Party], referee: Referee
) -> None:
    alice, carol = party("alice"), party("carol")
    alice.phone.do("call", uri=referee.uri)
    alice.phone.wait("state", text="CONFIRMED", call=0)
    alice.phone.do("call", uri=carol.uri)
    alice.phone.wait("state", text="CONFIRMED", call=1)
    alice.phone.do("xfer_replaces", call=0, other=1)
    replaces = referee.wait_referral().refer_to.replaces
    assert replaces is not None
    (local,) = set(re.findall(r"^To: .*tag=(\S+)", carol.phone.log.partition("SIP/2.0 200 OK")[2][:800], re.MULTILINE))
    assert replaces.keys[0] == (replaces.call_id, local, replaces.from_tag)


@pytest.fixture
def baresip(tmp_path: Path) -> Iterator[Baresip]:
    """A baresip that plays Bob's tone."""
    tone = write_tone(tmp_path / "bob-tone.wav", TONES["bob"], rate=8000, seconds=20)
    pair = create(tmp_path / "certificates").pbx
    made = Baresip(tmp_path / "baresip", "bob", HOST, free_sip_port(HOST), pair, tone=tone).start()
    yield made
    made.stop()


needs_baresip = needs("baresip")


@among_themselves
@needs_baresip
@pytest.mark.slow
def test_baresip_hands_a_call_on(party: Callable[..., Party], baresip: Baresip) -> None:
    alice, carol = party("alice"), party("carol")
    alice.phone.do("call", uri=baresip.uri)
    alice.phone.wait("media")
    talk()
    baresip.do("transfer", carol.uri)
    alice.phone.wait("refer", uri=carol.uri)
    alice.phone.wait("state", text="CONFIRMED", call=1)
    talk()
    heard = alice.heard()
    assert heard.order == (TONES["bob"], carol.hertz)
    assert heard.gap_ms < 200
    assert [call.order for call in baresip.heard(*TONES.values())] == [(alice.hertz,)]


@among_themselves
@needs_baresip
@pytest.mark.slow
def test_baresip_follows_a_refer(party: Callable[..., Party], baresip: Baresip) -> None:
    alice, carol = party("alice"), party("carol")
    alice.phone.do("call", uri=baresip.uri)
    alice.phone.wait("media")
    talk()
    alice.phone.do("xfer", uri=carol.uri)
    alice.phone.wait("transfer", status=200, final=True)
    talk()
    assert carol.heard().order == (TONES["bob"],)
    assert [call.order for call in baresip.heard(*TONES.values())] == [(alice.hertz,), (carol.hertz,)]


@needs_baresip
@pytest.mark.slow
@pytest.mark.parametrize(("outcome", "end"), [(200, "destroyed"), (486, "transfer failed")])
def test_baresip_understands_what_the_gateway_would_tell_it(
    referee: Referee, baresip: Baresip, outcome: int, end: str
) -> None:
    """It says how the transfer ended, and hangs up when the subscription does, whatever came of it (baresip 1.0)."""
    baresip.do("dial", referee.uri)
    baresip.wait_log("Call established")
    baresip.do("transfer", "sip:carol@example.com")
    referral = referee.wait_referral()
    referee.tell(referral, 180)
    referee.tell(referral, outcome)
    baresip.wait_log(end)
    wait_for(lambda: "BYE" in referee.trunk.methods(), 5, "baresip did not hang up")
