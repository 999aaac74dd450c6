"""Two running calls are joined: dialogs, Call-IDs and relay legs move, and nothing is left behind or half done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.values import CALLER, HostPort, LegId
from gateway.call.machine import events
from gateway.call.run.runner import CallRunner
from gateway.media.relay_events import SourceRejected
from gateway.sip.events import AckReceived, ResponseReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request, create_response
from gateway.sip.subscription import MAX_SUBSCRIPTIONS
from tests.call.machine_scene import BROWSER_FLOW, answer, browser_answer, request, sdes_answer, trunk_flow
from tests.call.office import Audit, Office

pytestmark = pytest.mark.asyncio

BOBS = Flow(9, "wss", HostPort("192.0.2.1", 8443), HostPort("192.0.2.98", 50001))
KEYED = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    found = Office(tmp_path, calls=8)
    found.pool.calls = []
    return found


class Dialog:
    """One call of a peer, and what it sends in it."""

    def __init__(self, office: Office, call_id: str, flow: Flow = BROWSER_FLOW) -> None:
        self.office, self.call_id, self.flow = office, call_id, flow
        self._cseq = 10

    @property
    def key(self) -> tuple[str, str, str]:
        return next(key for key in self.office.manager.index.dialogs if key[0] == self.call_id)

    @property
    def replaces(self) -> str:
        """The dialog as its peer names it for somebody else."""
        _, ours, theirs = self.key
        return f"{self.call_id};to-tag={ours};from-tag={theirs}"

    def send(self, method: str, *extra: tuple[str, str], key: str = "", flow: Flow | None = None) -> None:
        self._cseq += 1
        _, ours, theirs = self.key
        found = request(method, cseq=self._cseq, to_tag=ours, extra=extra)
        found = found.with_header("Call-ID", self.call_id).with_header("From", f"<sip:x@example.test>;tag={theirs}")
        self.office.request(found, key=key or f"{method}-{self.call_id}-{self._cseq}", flow=flow or self.flow)

    def refer(self, replaces: str, key: str = "refer", flow: Flow | None = None) -> None:
        to = f"<sip:gateway@example.test;transport=ws?Replaces={quote(replaces, safe='')}>"
        self.send("REFER", ("Refer-To", to), key=key, flow=flow)


def runner_of(office: Office, call_id: str) -> CallRunner:
    return next(entry[0] for key, entry in office.manager.index.dialogs.items() if key[0] == call_id)


async def dial(office: Office, number: str, call_id: str, body: bytes | None = None) -> Dialog:
    """A call of the browser that the trunk has answered."""
    office.call(number, key=f"in-{call_id}", call_id=call_id)
    await office.settle()
    invite = [r for r, _ in office.sip.sent.values() if r.method == "INVITE"][-1]
    office.reply("INVITE", 200, body or sdes_answer(invite.body), tag=f"far-{number}")
    ack = request("ACK", cseq=1, to_tag="gw").with_header("Call-ID", call_id)
    office.manager.on_event(AckReceived(f"in-{call_id}", ack, BROWSER_FLOW))
    await office.settle()
    await answers(office)
    return Dialog(office, call_id)


async def answers(office: Office, *methods: str) -> None:
    """Everybody agrees to whatever they are asked, until nothing is asked any more."""
    done: set[str] = set()
    while True:
        open_ = [
            (key, sent)
            for key, sent in office.sip.sent.items()
            if sent[0].method in (methods or ("UPDATE", "NOTIFY")) and key not in done
        ]
        if not open_:
            return
        for key, (asked, flow) in open_:
            done.add(key)
            office.manager.on_event(ResponseReceived(key, create_response(asked, 200, to_tag="x"), flow))
        await office.settle()


def notified(office: Office) -> list[str]:
    return [r.body.decode().split()[1] for r, _ in office.sip.sent.values() if r.method == "NOTIFY"]


async def outcomes(office: Office) -> list[str]:
    """What each REFER came to; a status that would end its dialog is never the answer to it."""
    await answers(office)
    assert not [r for _, r in office.sip.answers if r.cseq.method == "REFER" and r.status == 481]
    return [status for status in notified(office) if status != "100"]


def byes(office: Office) -> list[str]:
    """Who is hung up on, by Call-ID."""
    return [r.call_id for r, _ in office.sip.sent.values() if r.method == "BYE"]


def far_call_id(office: Office, number: str) -> str:
    return next(r.call_id for r, _ in office.sip.sent.values() if r.method == "INVITE" and number in r.uri)


async def test_a_browser_joins_its_two_calls_and_leaves_nothing_behind(office: Office) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    index = office.manager.index
    far = far_call_id(office, "601")
    first.refer(second.replaces)
    await office.settle()
    await answers(office)
    assert office.statuses("refer") == [202]
    assert notified(office) == ["100", "200"]
    assert sorted(byes(office)) == ["one", "two"]
    assert office.pool.calls is not None
    relays = office.pool.calls
    assert "Adopt" in relays[0].commands
    assert set(relays[0].legs) == {CALLER, LegId(2), LegId(3)}
    assert relays[1].commands[-1] == "close"
    assert LegId(2) not in relays[1].legs
    await answers(office, "BYE")
    assert office.manager.live_calls == 1
    assert len(index.runners) == 1
    (left,) = index.runners
    assert far in index.runners[left].call_ids
    assert index.is_living(far)
    far_key = next(key for key in index.dialogs if key[0] == far)
    assert index.dialogs[far_key] == (left, LegId(3))
    finals = [r for r in office.audit.records if r["type"] == "call.final"]
    assert [r["termination"] for r in finals] == ["transferred"]
    Dialog(office, far, trunk_flow()).send("BYE", key="far-bye")
    await office.settle()
    assert office.statuses("far-bye") == [200]
    assert byes(office)[-1] == far_call_id(office, "600")
    await answers(office, "BYE")
    assert office.manager.live_calls == 0
    assert not index.dialogs
    assert not index.call_ids
    assert not len(office.services.agent)


@pytest.mark.parametrize("swap", [False, True])
async def test_tags_the_other_way_round_name_the_same_dialog(office: Office, swap: bool) -> None:
    """JsSIP writes them so for a call that came in to it."""
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    _, ours, theirs = second.key
    tags = (theirs, ours) if swap else (ours, theirs)
    first.refer(f"two;to-tag={tags[0]};from-tag={tags[1]}")
    await office.settle()
    assert await outcomes(office) == ["200"]


async def test_a_dialog_of_another_user_does_not_exist_for_whoever_names_it(office: Office) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    theirs = runner_of(office, "two")
    theirs.state.caller.number = "bob"
    theirs._stands()
    first.refer(second.replaces)
    first.refer("two;to-tag=1;from-tag=2", key="guess")
    await office.settle()
    assert await outcomes(office) == ["481"] * 2
    records = [r for r in office.audit.records if r["type"] == "call.transfer"]
    assert [r["decision"] for r in records] == ["refused", "refused"]
    assert byes(office) == []
    assert office.manager.live_calls == 2


async def test_the_far_dialog_of_ones_own_call_is_not_ones_own(office: Office) -> None:
    """The browser names the dialog we have with the trunk: it is the trunk's, whatever the browser has heard of it."""
    first, _ = await dial(office, "600", "one"), await dial(office, "601", "two")
    first.refer(Dialog(office, far_call_id(office, "601")).replaces)
    await office.settle()
    assert await outcomes(office) == ["481"]


async def test_a_call_is_not_joined_with_itself(office: Office) -> None:
    first = await dial(office, "600", "one")
    first.refer(first.replaces)
    first.refer(Dialog(office, far_call_id(office, "600")).replaces, key="far")
    await office.settle()
    assert await outcomes(office) == ["481"] * 2
    assert office.manager.live_calls == 1
    assert byes(office) == []


async def test_two_calls_that_are_each_to_take_over_the_other_become_one(office: Office) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    to_second, to_first = second.replaces, first.replaces
    first.refer(to_second, key="first")
    second.refer(to_first, key="second")
    await office.settle()
    await answers(office)
    assert office.statuses("first") == [202]
    assert office.statuses("second") == [481]
    assert sorted(byes(office)) == ["one", "two"]
    await answers(office, "BYE")
    assert office.manager.live_calls == 1


async def test_media_in_two_workers_cannot_be_joined_and_both_calls_go_on(office: Office) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    assert office.pool.calls is not None
    office.pool.calls[0].elsewhere = True
    before = dict(office.manager.index.dialogs)
    first.refer(second.replaces)
    await office.settle()
    await answers(office)
    assert notified(office) == ["100", "503"]
    assert byes(office) == []
    assert dict(office.manager.index.dialogs) == before
    first.send("OPTIONS", key="alive")
    second.send("OPTIONS", key="alive too")
    await office.settle()
    assert office.statuses("alive") == office.statuses("alive too") == [200]


async def test_a_relay_that_fails_as_nobody_foresaw_ends_the_call_that_asked_and_not_the_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")

    def fail(*_: object) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr(runner_of(office, "one").media, "adopt", fail)
    first.refer(second.replaces)
    await office.settle()
    second.send("OPTIONS", key="alive")
    await office.settle()
    assert office.statuses("alive") == [200]
    assert "two" not in byes(office)
    await answers(office, "BYE", "NOTIFY")
    assert office.manager.live_calls == 1


class Slow(Audit):
    """A log that is not there yet."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[object] | None = None

    def write(self, record, then=None):  # type: ignore[no-untyped-def]
        if self.waits is None or then is None:
            super().write(record, then)
        else:
            self.records.append(record)
            self.waits.append(then)

    def catch_up(self) -> None:
        while self.waits:
            self.waits.pop(0)(True)  # type: ignore[operator]
        self.waits = None


async def test_what_happens_to_the_other_call_before_the_record_is_written_counts(tmp_path: Path) -> None:
    """The far one hangs up between the question and the move: it is not there to be joined with."""
    audit = Slow()
    office = Office(tmp_path, audit, calls=8)
    office.pool.calls = []
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    replaces, far = second.replaces, Dialog(office, far_call_id(office, "601"), trunk_flow())
    audit.waits = []
    first.refer(replaces)
    await office.settle()
    far.send("BYE", key="bye")
    await office.settle()
    audit.catch_up()
    await office.settle()
    await answers(office)
    assert notified(office)[-1] == "491"
    assert office.statuses("bye") == [200]
    first.send("OPTIONS", key="alive")
    await office.settle()
    assert office.statuses("alive") == [200]
    assert byes(office) == ["two"]


async def test_a_call_that_has_not_done_yet_what_it_decided_gives_nothing_away(tmp_path: Path) -> None:
    """Its record waits, and behind it a BYE that nobody has looked at: the leg would be gone a moment later."""
    audit = Slow()
    office = Office(tmp_path, audit, calls=8)
    office.pool.calls = []
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    replaces, far = second.replaces, Dialog(office, far_call_id(office, "601"), trunk_flow())
    audit.waits = []
    office.manager.index.dialogs[far.key][0].feed(SourceRejected(LegId(2), HostPort("192.0.2.9", 9), "latch.mismatch"))
    far.send("BYE", key="bye")
    first.refer(replaces)
    await office.settle()
    audit.waits.pop()(True)  # type: ignore[operator]
    await office.settle()
    audit.catch_up()
    await office.settle()
    assert await outcomes(office) == ["491"]
    assert office.statuses("bye") == [200]
    assert byes(office) == ["two"]


async def test_who_stays_and_hangs_up_before_the_move_takes_the_one_who_came_along(tmp_path: Path) -> None:
    audit = Slow()
    office = Office(tmp_path, audit, calls=8)
    office.pool.calls = []
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    stays = Dialog(office, far_call_id(office, "600"), trunk_flow())
    audit.waits = []
    first.refer(second.replaces)
    await office.settle()
    stays.send("BYE", key="bye")
    audit.catch_up()
    await office.settle()
    await answers(office)
    await answers(office, "BYE", "UPDATE", "NOTIFY")
    await office.settle()
    assert sorted(byes(office)) == sorted(["one", "two", far_call_id(office, "601")])
    assert office.manager.live_calls == 0
    assert not office.manager.index.dialogs


async def test_a_flow_that_proves_less_than_the_dialog_was_made_with_does_not_name_it(office: Office) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    far_one = Dialog(office, far_call_id(office, "600"), trunk_flow())
    far_two = Dialog(office, far_call_id(office, "601"), trunk_flow())
    del first, second
    runner_of(office, far_one.call_id).state.legs[LegId(2)].founding = trunk_flow("udp")
    far_one.refer(far_two.replaces, flow=trunk_flow("udp"))
    await office.settle()
    assert await outcomes(office) == ["481"]


async def test_a_trunk_joins_two_browsers_over_its_two_dialogs(office: Office) -> None:
    """A phone behind a PBX has called two of our users and lets them speak with each other."""
    one, two = await ring(office, "one"), await ring(office, "two")
    one.refer(two.replaces)
    await office.settle()
    await answers(office)
    assert office.statuses("refer") == [202]
    assert notified(office) == ["100", "200"]
    assert sorted(byes(office)) == ["one", "two"]
    updates = [r for r, _ in office.sip.sent.values() if r.method == "UPDATE"][-2:]
    assert len({r.call_id for r in updates}) == 2, "each browser is told whom it speaks with now"
    await answers(office, "BYE")
    (left,) = office.manager.index.runners
    assert {leg.kind.value for leg in left.state.pair} == {"browser"}
    assert list(left.media._handshakes) == [LegId(2), LegId(3)]


async def ring(office: Office, call_id: str) -> Dialog:
    """A call of the trunk that a browser has answered; its handshake is over."""
    office.bind()
    flow = trunk_flow()
    invite = Request(
        "INVITE",
        "sip:100@example.test",
        request("INVITE", KEYED)
        .with_header("Call-ID", call_id)
        .with_header("From", "<sip:4711@pbx.example>;tag=caller")
        .with_header("Contact", "<sip:4711@127.0.0.2:5061;transport=tls>")
        .headers,
        KEYED,
    )
    office.request(invite, key=f"in-{call_id}", flow=flow)
    await office.settle()
    sent = [r for r, _ in office.sip.sent.values() if r.method == "INVITE"][-1]
    office.reply("INVITE", 200, browser_answer(sent.body), tag="page")
    await office.settle()
    ack = request("ACK", cseq=1, to_tag="gw").with_header("Call-ID", call_id)
    office.manager.on_event(AckReceived(f"in-{call_id}", ack, flow))
    runner = runner_of(office, call_id)
    runner.feed(events.DtlsConnected(LegId(2), AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    await office.settle()
    await answers(office)
    return Dialog(office, call_id, flow)


async def test_a_thousand_refers_end_no_call_and_leave_nothing(office: Office) -> None:
    first, second = await dial(office, "600", "one"), await dial(office, "601", "two")
    before = len(office.audit.records)
    for number in range(1000):
        first.refer(f"two;to-tag={number};from-tag=guess", key=f"guess-{number}")
    await office.settle()
    assert {office.statuses(f"guess-{number}")[0] for number in range(1000)} == {202, 491}
    assert await outcomes(office) == ["481"] * MAX_SUBSCRIPTIONS
    assert len(office.audit.records) - before < 20
    assert len(asyncio.all_tasks()) == 1
    first.refer(second.replaces, key="right")
    await office.settle()
    assert office.statuses("right") == [202]
