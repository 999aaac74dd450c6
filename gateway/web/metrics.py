"""The `/metrics` page in Prometheus' text format: the fixed counters, and gauges asked for at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.base.counters import Counters

PREFIX: Final = "sip_gateway_"

OWN_ENDS: Final = "certificate_expires_timestamp_seconds"
PEER_ENDS: Final = "trunk_certificate_expires_timestamp_seconds"

Gauges = Callable[[], Mapping[str, float]]
"""Gives values that go up and down, for example the calls in progress, by name."""

Expiries = Callable[[], Iterable[tuple[str, bool, float]]]
"""Gives the ends of certificates in seconds since 1970: of ours by configuration key, of peers (True) by trunk."""


class CountersCollector(Collector):
    """Reads the counters when Prometheus asks. Names are ours alone: no peer's text ever becomes a label."""

    def __init__(self, counters: Counters, gauges: Gauges | None = None, expiries: Expiries | None = None) -> None:
        self._counters = counters
        self._gauges = gauges
        self._expiries = expiries

    def collect(self) -> Iterator[Metric]:
        for name, value in self._counters.snapshot().items():
            yield CounterMetricFamily(PREFIX + name, describe(name), value=value)
        yield self._endings()
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

    def __init__(self, counters: Counters, gauges: Gauges | None = None, expiries: Expiries | None = None) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(CountersCollector(counters, gauges, expiries))

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


def describe(name: str) -> str:
    """The help text of a metric: its name in words."""
    return name.replace("_", " ").capitalize()
