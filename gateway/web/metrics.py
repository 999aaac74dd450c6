"""The `/metrics` page in Prometheus' text format: the fixed counters, and gauges asked for at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.audit.sound_tally import SoundTally
from gateway.audit.tally import RecordTally
from gateway.base.counters import Counters
from gateway.base.histogram import Histogram

PREFIX: Final = "sip_gateway_"

OWN_ENDS: Final = "certificate_expires_timestamp_seconds"
PEER_ENDS: Final = "trunk_certificate_expires_timestamp_seconds"

Gauges = Callable[[], Mapping[str, float]]
"""Gives values that go up and down, for example the calls in progress, by name."""

Expiries = Callable[[], Iterable[tuple[str, bool, float]]]
"""Gives the ends of certificates in seconds since 1970: of ours by configuration key, of peers (True) by trunk."""


class CountersCollector(Collector):
    """Reads the counters when Prometheus asks. Names are ours alone: no peer's text ever becomes a label."""

    def __init__(
        self,
        counters: Counters,
        gauges: Gauges | None = None,
        expiries: Expiries | None = None,
        tally: RecordTally | None = None,
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._expiries = expiries
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        for name, value in self._counters.snapshot().items():
            yield CounterMetricFamily(PREFIX + name, describe(name), value=value)
        yield self._endings()
        if self._tally is not None:
            yield from _of_records(self._tally)
        for name, number in (self._gauges() if self._gauges else {}).items():
            yield GaugeMetricFamily(PREFIX + name, describe(name), value=number)
        if self._expiries is not None:
            yield from _ends(self._expiries())

    def _endings(self) -> Metric:
        """Why calls ended; the label is one of the fixed terminations."""
        family = CounterMetricFamily(PREFIX + "call_endings", "Calls ended, by reason", labels=("reason",))
        for termination, number in self._counters.endings.items():
            family.add_metric([termination.slug], number)
        return family


class Metrics:
    """A registry of its own, so that nothing else in the process shows up on the page."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(
        self,
        counters: Counters,
        gauges: Gauges | None = None,
        expiries: Expiries | None = None,
        tally: RecordTally | None = None,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(CountersCollector(counters, gauges, expiries, tally))

    def render(self) -> bytes:
        return generate_latest(self._registry)


def _ends(expiries: Iterable[tuple[str, bool, float]]) -> Iterator[Metric]:
    """When certificates end; the labels are keys and trunk names of the configuration."""
    own = GaugeMetricFamily(PREFIX + OWN_ENDS, "When a certificate of ours ends, seconds since 1970", labels=("key",))
    peers = GaugeMetricFamily(PREFIX + PEER_ENDS, "When the certificate a trunk showed last ends", labels=("trunk",))
    for name, is_peer, seconds in expiries:
        (peers if is_peer else own).add_metric([name], seconds)
    yield own
    yield peers


def _of_records(tally: RecordTally) -> Iterator[Metric]:
    """What the records in the audit log say, counted as they got there."""
    yield _labelled("audit_records", "Records in the audit log", ("type",), {(k,): n for k, n in tally.records.items()})
    yield _labelled("legs", "Legs of calls that have ended, by their last grade", ("leg", "grade"), tally.legs)
    what = "Weaknesses that were recorded, and what was decided about them"
    yield _labelled("downgrades", what, ("trunk", "code", "action"), tally.downgrades)
    yield CounterMetricFamily(PREFIX + "violations", "Legs that policy refused", value=tally.violations)
    yield CounterMetricFamily(
        PREFIX + "pins_broken", "Peers weaker than they were known to be", value=tally.pins_broken
    )
    yield from _of_sounds(tally.sounds)


def _of_sounds(sounds: SoundTally) -> Iterator[Metric]:
    """How calls sounded."""
    yield _labelled("quality_turns", "Legs that turned bad, or good again", ("leg", "trunk", "quality"), sounds.turns)
    yield _histogram("leg_mos", "MOS-CQ of legs of calls that have ended", ("leg", "trunk"), sounds.mos)
    yield _histogram("leg_round_trip_seconds", "Their round trips", ("leg", "trunk"), sounds.round_trip)
    ways = ("leg", "trunk", "way")
    yield _histogram("leg_loss_ratio", "Share of packets they lost", ways, sounds.loss)
    yield _histogram("leg_burst_loss_ratio", "Share of packets they lost in bursts", ways, sounds.burst_loss)
    yield _histogram("leg_jitter_seconds", "Their jitter, at the end", ways, sounds.jitter)


def _histogram(name: str, words: str, labels: Sequence[str], found: Histogram) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, words, labels=labels)
    for values, buckets, total in found.rows():
        family.add_metric(values, buckets, total)
    return family


def _labelled(name: str, words: str, labels: Sequence[str], found: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, words, labels=labels)
    for values, number in found.items():
        family.add_metric(values, number)
    return family


def describe(name: str) -> str:
    """The help text of a metric: its name in words."""
    return name.replace("_", " ").capitalize()
