"""The registrar is asked, and whatever comes of it is an answer in time or the status that says why there is none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.errors import SipError, TransportError
from gateway.call.registration import link
from gateway.call.registration.link import NoAnswerError, RegistrarLink
from gateway.call.run.probes import TrunkProbes
from gateway.sip.events import RequestTimeout, ResponseReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request, Response, create_response
from tests.call.machine_scene import trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio

REQUEST = Request("REGISTER", "sip:example.test", Headers([("CSeq", "1 REGISTER"), ("Call-ID", "c")]))


class LinkScene:
    """A link whose trunk says what a test says."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(directory)
        self.link = RegistrarLink(self.office.services, TrunkProbes(self.office.services), "pbx")

    async def ask(self, over: Flow | None = None) -> asyncio.Task[tuple[Response, Flow]]:
        asked = asyncio.create_task(self.link.ask(REQUEST, over))
        await self.office.settle()
        return asked

    def hears(self, *statuses: int) -> None:
        for status in statuses:
            response = create_response(REQUEST, status)
            self.office.services.agent.take(ResponseReceived(self._key, response, trunk_flow()))

    def hears_nothing(self, event: type[RequestTimeout | TransportFailed]) -> None:
        self.office.services.agent.take(event(self._key))

    @property
    def _key(self) -> str:
        return list(self.office.sip.sent)[-1]


@pytest.fixture
def scene(tmp_path: Path) -> LinkScene:
    return LinkScene(tmp_path)


async def test_a_provisional_response_is_not_the_answer_and_a_challenge_is(scene: LinkScene) -> None:
    asked = await scene.ask()
    scene.hears(100)
    await scene.office.settle()
    assert not asked.done()
    scene.hears(401)
    response, flow = await asked
    assert (response.status, flow) == (401, trunk_flow())
    assert len(scene.office.services.agent) == 0


@pytest.mark.parametrize("event", [RequestTimeout, TransportFailed])
async def test_a_connection_that_breaks_is_503(scene: LinkScene, event: type[RequestTimeout | TransportFailed]) -> None:
    asked = await scene.ask()
    scene.hears_nothing(event)
    with pytest.raises(NoAnswerError) as raised:
        await asked
    assert raised.value.status == 503


async def test_silence_is_504_and_a_late_answer_is_nobodys(scene: LinkScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ANSWER_SECONDS", 0.01)
    asked = await scene.ask()
    with pytest.raises(NoAnswerError) as raised:
        await asked
    assert raised.value.status == 504
    scene.hears(200)
    assert len(scene.office.services.agent) == 0


@pytest.mark.parametrize("error", [TransportError("refused"), TransportError("bad", verification="for another name")])
async def test_a_registrar_that_cannot_be_had_is_503(scene: LinkScene, error: TransportError) -> None:
    async def connect(_trunk: str, *_tried: object, **_how: object) -> Flow:
        raise error

    scene.office.sip.connect = connect  # type: ignore[method-assign,assignment]
    with pytest.raises(NoAnswerError) as raised:
        await (await scene.ask())
    assert raised.value.status == 503
    assert error.verification in str(raised.value)


async def test_a_request_that_cannot_be_sent_is_503(scene: LinkScene) -> None:
    scene.office.sip.broken["send_request"] = SipError("Too many requests in flight", 503)
    with pytest.raises(NoAnswerError) as raised:
        await (await scene.ask())
    assert raised.value.status == 503


async def test_a_place_that_says_503_or_nothing_gives_way_to_the_next(
    scene: LinkScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "TRY_SECONDS", 0.01)
    sip = scene.office.sip
    sip.has_more = True
    asked = await scene.ask()
    scene.hears(503)
    await scene.office.settle()
    assert len(sip.sent) == 2
    while len(sip.sent) < 3:
        await scene.office.settle()
    assert len(sip.silent_at) == 1
    sip.has_more = False
    scene.hears_nothing(TransportFailed)
    await scene.office.settle()
    scene.hears(200)
    response, _ = await asked
    assert response.status == 200
    assert len(sip.sent) == 4


async def test_the_last_place_has_the_last_word(scene: LinkScene) -> None:
    asked = await scene.ask()
    scene.hears(503)
    response, _ = await asked
    assert response.status == 503
    assert len(scene.office.sip.sent) == 1


async def test_credentials_go_back_to_the_server_that_asked_for_them_while_it_can_be_had(scene: LinkScene) -> None:
    other = replace(trunk_flow(), id=77)
    asked = await scene.ask(other)
    scene.hears(200)
    assert (await asked)[0].status == 200
    assert scene.office.sip.sent[scene._key][1].id == 77
    scene.office.sip.gone.add(77)
    asked = await scene.ask(other)
    scene.hears(200)
    await asked
    assert scene.office.sip.sent[scene._key][1].id == trunk_flow().id
