"""The final record of a call: what it was, how long it lasted, what was counted on each of its legs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.audit.final import call_final
from gateway.base.values import LegId
from gateway.call.machine import bridge, security
from gateway.call.machine.effects import Finished
from gateway.call.machine.state import CallState
from gateway.media.relay_call import LegCounters
from gateway.quality.leg import Measurement
from gateway.quality.told import final_facts
from gateway.sdp.summary import stream


def final_record(
    call: CallState,
    effect: Finished,
    counters: LegCounters,
    now: float,
    quality: Mapping[LegId, Measurement] = MappingProxyType({}),
) -> dict[str, object]:
    """`call.final` of a call that ends `now` (seconds of the monotonic clock), with what the relay counted last."""
    call.grade_time.passes(now, call.answered_at, call.posture.current)
    addressed = next((leg for leg in call.pair if leg.peer_rtp is not None), None)
    return call_final(
        security.info(call),
        call.policy,
        call.posture,
        effect.termination,
        duration=now - call.answered_at if call.answered_at is not None else 0.0,
        sip_status=effect.status,
        codecs=_codecs(call),
        counters=_counted(call, counters),
        causes=call.end.reasons,
        grade_refused=call.refused.name if call.refused is not None else "",
        codec=bridge.codec_in_use(call),
        seconds_per_grade=call.grade_time.by_name,
        streams=_streams(call),
        trunk_rtp=addressed.peer_rtp if addressed else None,
        own_rtp=addressed.own_rtp if addressed else None,
        quality=_sounded(call, quality, now),
    )


def _streams(call: CallState) -> dict[str, str]:
    """What each leg's peer described last."""
    labels = call.posture.labels()
    found = {leg.id: leg.remote for leg in call.pair if leg.id in labels}
    return {labels[leg]: stream(remote) for leg, remote in found.items() if remote is not None}


def _codecs(call: CallState) -> list[str]:
    """What the browser was offered, or answered, last."""
    local = next((leg.talk.ours for leg in call.pair if leg.habits.is_person), None)
    return [codec.key[0] for codec in local.codecs] if local is not None else []


def _counted(call: CallState, counters: LegCounters) -> dict[str, dict[str, int]]:
    """What was counted on each leg; of what never happened, nothing."""
    return {
        _label(call, leg): {name: count for name in numbers.__slots__ if (count := getattr(numbers, name))}
        for leg, numbers in counters.items()
        if leg in call.legs
    }


def _sounded(call: CallState, quality: Mapping[LegId, Measurement], now: float) -> dict[str, dict[str, object]]:
    """How each leg sounded; of one on which nothing was heard, nothing."""
    codec, legs = bridge.codec_in_use(call), call.legs
    found = {
        leg: final_facts(measured, legs[leg].sound, codec, now) for leg, measured in quality.items() if leg in legs
    }
    return {_label(call, leg): facts for leg, facts in found.items() if facts is not None}


def _label(call: CallState, leg: LegId) -> str:
    """What a leg is called in the record: by its kind, further ones of that kind with their number."""
    return call.posture.labels().get(leg) or f"{call.legs[leg].kind}-{leg}"
