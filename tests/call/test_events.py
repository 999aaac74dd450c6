"""Events as the debug log tells them: in a few words, never with a body, a header or a key."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.sip.message import create_response
from tests.call.machine_scene import BROWSER_FLOW, answer, request

KEYED = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "S" * 40)
ASKED = request("INVITE", KEYED)
DESCRIBED = [
    (events.RequestIn(LegId(2), "k", ASKED, BROWSER_FLOW), "leg 2 INVITE"),
    (events.ResponseIn(7, create_response(ASKED, 200, to_tag="t", body=KEYED), BROWSER_FLOW), "200 to ask 7"),
    (events.RequestFailed(7, transport=True), "no answer to ask 7"),
    (events.TimerFired(fx.Timer.RING), "timer ring"),
    (events.Lost(Termination.SHUTDOWN), Termination.SHUTDOWN.slug),
    (events.AckIn("k", ASKED), "AckIn"),
]


@pytest.mark.parametrize(("event", "words"), DESCRIBED)
def test_an_event_is_told_in_a_few_words_without_what_it_carries(event: events.Event, words: str) -> None:
    assert events.describe(event) == words
    assert "inline" not in events.describe(event)


def test_a_refused_flow_is_told_with_the_reason() -> None:
    refused = events.FlowRefused(CALLER, BROWSER_FLOW, "BYE", "no TLS", 403)
    assert "no TLS" in events.describe(refused)
