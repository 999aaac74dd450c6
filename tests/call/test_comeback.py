"""A device that registers again over another connection: its calls are found, nobody else's are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.base.values import HostPort
from gateway.call.legs.leg import Leg
from gateway.call.run.comeback import Comeback
from gateway.call.run.runner import CallRunner
from gateway.sip.events import AckReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, request, sdes_answer
from tests.call.office import Office, invite

pytestmark = pytest.mark.asyncio

CONTACT = "sip:x7k2@abc.invalid;transport=ws"
NEXT = replace(BROWSER_FLOW, id=50, remote=HostPort("198.51.100.7", 41000))
THIRD = replace(NEXT, id=51)


@dataclass
class Scene:
    """Alice talks over `BROWSER_FLOW`."""

    office: Office
    registers: int = 0

    async def register(
        self, flow: Flow, *, contact: str = CONTACT, instance: str = "A", user: str = "alice", expires: int = 600
    ) -> int:
        """A REGISTER over this connection, which belongs to that user; gives what it is answered."""
        self.office.manager.location.identities.authenticate(flow, user)
        request = self.made(flow, contact=contact, instance=instance, user=user, expires=expires)
        key = f"reg-{self.registers}"
        self.office.request(request, key=key, flow=flow)
        await self.office.settle()
        return self.office.statuses(key)[-1]

    def made(
        self, flow: Flow, *, contact: str = CONTACT, instance: str = "A", user: str = "alice", expires: int = 600
    ) -> Request:
        """The next REGISTER of the client on this connection."""
        self.registers += 1
        key, aor = f"reg-{self.registers}", f"<sip:{user}@example.test>"
        device = f';+sip.instance="<urn:uuid:{instance}>";reg-id=1' if instance else ""
        lines = messages.fields(
            "REGISTER",
            via=f"SIP/2.0/WSS abc.invalid;branch=z9hG4bK{key}",
            from_=f"{aor};tag=r",
            to=aor,
            call_id=f"registers-{flow.id}-{contact}",
            cseq=self.registers,
            extra=(f"Contact: <{contact}>{device};expires={expires}",),
        )
        return messages.request("REGISTER", "sip:example.test", lines)

    async def talk(self) -> Scene:
        office = self.office
        office.request(invite(contact=f"<{CONTACT};ob>"), key="in-1")
        await office.settle()
        sent = [r for r, _ in office.sip.sent.values() if r.method == "INVITE"][-1]
        office.reply("INVITE", 200, sdes_answer(sent.body))
        office.manager.on_event(AckReceived("in-1", request("ACK", to_tag="gw"), BROWSER_FLOW))
        await office.settle()
        assert office.manager.live_calls == 1
        return self

    def within(self, method: str, flow: Flow, cseq: int = 900) -> list[int]:
        """A request inside the dialog of the call, over this connection; gives what it is answered."""
        (answered,) = [r for k, r in self.office.sip.answers if k == "in-1" and r.status == 200]
        found: Request = request(method, cseq=cseq, to_tag=answered.to.tag or "")
        found = found.with_header("Call-ID", answered.call_id)
        found = found.with_header("From", "<sip:alice@example.test>;tag=caller")
        self.office.request(found, key=f"{method}-{flow.id}-{cseq}", flow=flow)
        return self.office.statuses(f"{method}-{flow.id}-{cseq}")

    async def close(self, flow: Flow) -> None:
        self.office.sip.gone.add(flow.id)
        self.office.manager.flow_closed(flow)
        await self.office.settle()

    def away(self) -> bool:
        (runner,) = self.office.manager.index.runners
        return runner.state.caller.is_away


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(Office(tmp_path))


async def test_the_same_instance_over_another_connection_has_its_call_back(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    assert scene.away()
    assert await scene.register(NEXT) == 200
    assert not scene.away()
    assert scene.within("OPTIONS", NEXT) == [200]


async def test_the_call_has_moved_before_the_register_is_answered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page may send its re-INVITE as soon as it has read the 200."""
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    seen: list[bool] = []
    monkeypatch.setattr(scene.office.sip, "respond", lambda key, response: seen.append(scene.away()))
    scene.office.manager.location.identities.authenticate(NEXT, "alice")
    scene.office.request(scene.made(NEXT), key="again", flow=NEXT)
    await scene.office.settle()
    assert seen == [False]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"instance": "B"}),
        ({}, {"instance": ""}),
        ({"instance": ""}, {"instance": "A"}),
        ({"instance": ""}, {"instance": "", "contact": "sip:other@abc.invalid;transport=ws"}),
        ({"instance": ""}, {"instance": "", "contact": "sip:X7K2@abc.invalid;transport=ws"}),
        ({}, {"user": "bob"}),
        ({"instance": ""}, {"instance": "", "user": "bob"}),
    ],
)
async def test_nobody_else_gets_the_call(scene: Scene, first: dict[str, str], second: dict[str, str]) -> None:
    await scene.register(BROWSER_FLOW, **first)  # type: ignore[arg-type]
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    await scene.register(NEXT, **second)  # type: ignore[arg-type]
    assert scene.away()
    assert scene.within("BYE", NEXT) == [481]
    assert scene.office.manager.live_calls == 1


@pytest.mark.parametrize("registered", [True, False])
async def test_who_gives_no_instance_is_known_by_the_contact_of_its_dialog(scene: Scene, registered: bool) -> None:
    if registered:
        await scene.register(BROWSER_FLOW, instance="")
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    await scene.register(NEXT, instance="")
    assert not scene.away()


async def test_a_sign_in_without_a_register_is_no_way_back(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    scene.office.manager.location.identities.authenticate(NEXT, "alice")
    assert scene.within("BYE", NEXT) == [481]
    assert scene.away()


async def test_a_register_that_only_asks_or_removes_is_no_way_back(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    await scene.register(NEXT, expires=0)
    assert scene.away()


async def test_a_register_that_is_refused_is_no_way_back(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    assert await scene.register(NEXT, expires=5) == 423
    assert scene.away()


async def test_a_device_is_found_elsewhere_before_its_old_connection_is_known_to_be_dead(scene: Scene) -> None:
    """From one network to another nobody says goodbye: the old connection looks alive for half a minute."""
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.register(NEXT)
    assert scene.within("OPTIONS", NEXT) == [200]
    await scene.close(BROWSER_FLOW)
    assert not scene.away()
    assert scene.within("OPTIONS", NEXT, 901) == [200]


async def test_another_page_of_the_user_that_signs_in_takes_no_call_away(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.register(NEXT, instance="B", contact="sip:page2@def.invalid;transport=ws")
    assert scene.within("OPTIONS", NEXT) == [481]
    assert scene.within("OPTIONS", BROWSER_FLOW, 901) == [200]


async def test_two_pages_that_share_the_name_of_a_device_do_not_cut_each_other_off(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.register(NEXT, contact="sip:page2@def.invalid;transport=ws")
    assert scene.within("OPTIONS", BROWSER_FLOW) == [200]
    await scene.close(NEXT)
    assert not scene.away(), "it was heard over its own connection last"


async def test_a_device_with_two_connections_goes_on_over_the_one_that_is_left(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.register(NEXT)
    await scene.close(NEXT)
    assert not scene.away()
    assert scene.within("OPTIONS", BROWSER_FLOW) == [200]


async def test_networks_may_change_more_than_once(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    for number in range(60, 75):
        before = replace(NEXT, id=number - 1) if number > 60 else BROWSER_FLOW
        await scene.close(before)
        assert scene.away()
        await scene.register(replace(NEXT, id=number))
        assert not scene.away()
    assert scene.within("BYE", replace(NEXT, id=74), 950) == [200]


async def test_nothing_is_kept_of_connections_that_are_gone(scene: Scene) -> None:
    for number in range(100, 150):
        flow = replace(NEXT, id=number)
        await scene.register(flow, instance=f"I{number}")
        await scene.close(flow)
    location = scene.office.manager.location
    assert (len(location.devices), len(location.identities)) == (0, 1)


async def test_a_call_that_ended_meanwhile_answers_481_and_is_not_brought_back(scene: Scene) -> None:
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    await scene.close(BROWSER_FLOW)
    (runner,) = scene.office.manager.index.runners
    (trunk,) = [leg for leg in runner.state.legs.values() if leg.trunk_name]
    assert trunk.dialog is not None
    bye = request("BYE", cseq=5, to_tag=trunk.local_tag).with_header("Call-ID", trunk.call_id)
    bye = bye.with_header("From", "<sip:callee@127.0.0.2>;tag=callee")
    scene.office.request(bye, key="trunk-bye", flow=trunk.flow)
    await scene.office.settle()
    assert scene.office.statuses("trunk-bye") == [200]
    await scene.register(NEXT)
    assert scene.within("INVITE", NEXT) == [481]
    finals = [r for r in scene.office.audit.records if r["type"] == "call.final"]
    assert [r["termination"] for r in finals] == ["hangup-trunk"]


async def test_a_connection_that_ends_or_registers_looks_at_no_call_of_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all browsers of an office lose their connections at once, a walk through all calls for each is too long."""
    await scene.register(BROWSER_FLOW)
    await scene.talk()
    looked: list[str] = []

    def legs_on(runner: CallRunner, _flow: Flow) -> list[Leg]:
        looked.append(runner.id)
        return []

    def is_theirs(_self: Comeback, leg: Leg, _new: object) -> bool:
        looked.append(leg.number)
        return False

    monkeypatch.setattr(CallRunner, "legs_on", legs_on)
    monkeypatch.setattr(Comeback, "_is_theirs", is_theirs)
    await scene.register(NEXT, user="bob")
    await scene.close(NEXT)
    assert looked == []
    await scene.register(THIRD, instance="B")
    assert looked == ["alice"]
