"""What one user may have at once, as the configuration says; and what is no part of a telephone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.values import HostPort
from gateway.sip.flow import Flow
from gateway.sip.message import Response
from gateway.site import CallLimits
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, request, trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio


def page(number: int) -> Flow:
    return replace(BROWSER_FLOW, id=100 + number, remote=HostPort("192.0.2.9", 100 + number))


class Scene:
    """An office whose limits a test says."""

    def __init__(self, directory: Path, limits: CallLimits) -> None:
        self.office = Office(directory, calls=20)
        self.office.sites.current = replace(self.office.sites.current, limits=limits)

    async def register(self, number: int, cseq: int = 1) -> Response:
        key, flow, aor = f"reg-{number}-{cseq}", page(number), "<sip:alice@example.test>"
        self.office.manager.location.identities.authenticate(flow, "alice")
        lines = messages.fields(
            "REGISTER",
            via=f"SIP/2.0/WSS c.invalid;branch=z9hG4bK{key}",
            from_=f"{aor};tag=r",
            to=aor,
            call_id=f"registers-{number}",
            cseq=cseq,
            extra=(f"Contact: <sip:p{number}@c.invalid;transport=ws>;expires=600",),
        )
        self.office.request(messages.request("REGISTER", "sip:example.test", lines), key=key, flow=flow)
        await self.office.settle()
        return [response for k, response in self.office.sip.answers if k == key][-1]


async def test_one_place_too_many_takes_that_of_the_oldest(tmp_path: Path) -> None:
    scene = Scene(tmp_path, CallLimits(registrations_per_user=2))
    answers = [await scene.register(number) for number in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert [contact.uri.user for contact in answers[-1].contacts] == ["p2", "p3"]


async def test_or_it_is_refused_with_words_and_those_there_are_stay(tmp_path: Path) -> None:
    scene = Scene(tmp_path, CallLimits(registrations_per_user=2, registrations_displace=False))
    answers = [await scene.register(number) for number in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 403]
    assert (
        answers[2].headers.get("Warning") == '399 gw "This user has as many registrations as one user may have at once"'
    )
    assert (await scene.register(1, cseq=2)).status == 200, "who is there may refresh"
    assert [b.contact.uri.user for b in await scene.office.manager.location.locate("alice")] == ["p1", "p0"]


async def test_one_call_too_many_of_a_user_is_486_and_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, CallLimits(calls=20, calls_per_user=2))
    office = scene.office
    admission = type(office.manager)(office.services, None)  # type: ignore[arg-type]  # caps are those of its start
    office.manager = admission
    office.manager.location.identities.authenticate(BROWSER_FLOW, "alice")
    for number in range(3):
        office.call(key=f"in-{number}", call_id=f"call-{number}")
    await office.settle()
    assert [office.statuses(f"in-{n}") for n in range(3)] == [[], [], [486]]
    refused = [response for key, response in office.sip.answers if key == "in-2"][-1]
    assert refused.headers.get("Warning") == '399 gw "This user has as many calls as one user may have at once"'
    finals = [r["termination"] for r in office.audit.records if r["type"] == "call.final"]
    assert finals == ["user-limit"]
    office.call("112", key="sos", call_id="sos")
    await office.settle()
    assert office.statuses("sos") == [], "a call for help is counted apart"


@pytest.mark.parametrize("method", ["MESSAGE", "PUBLISH", "SUBSCRIBE", "NOTIFY", "REFER", "INFO", "PRACK", "FOO"])
@pytest.mark.parametrize("who", ["user", "trunk"])
async def test_what_is_no_part_of_a_telephone_is_405_with_what_is(tmp_path: Path, method: str, who: str) -> None:
    office = Office(tmp_path)
    office.request(request(method), key="asked", flow=BROWSER_FLOW if who == "user" else trunk_flow())
    await office.settle()
    (answer,) = [response for key, response in office.sip.answers if key == "asked"]
    assert answer.status == 405
    allowed = (answer.headers.get("Allow") or "").split(", ")
    assert {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"} <= set(allowed)
    assert method not in allowed
    assert ("REGISTER" in allowed) is (who == "user")
