"""The `/metrics` page in Prometheus' text format: the fixed counters, and gauges asked for at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.base.counters import Counters

PREFIX: Final = "sip_gateway_"

Gauges = Callable[[], Mapping[str, float]]
"""Gives values that go up and down, for example the calls in progress, by name."""


class CountersCollector(Collector):
    """Reads the counters when Prometheus asks. Names are ours alone: no peer's text ever becomes a label."""

    def __init__(self, counters: Counters, gauges: Gauges | None = None) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, value in self._counters.snapshot().items():
            yield CounterMetricFamily(PREFIX + name, describe(name), value=value)
        yield self._endings()
        for name, number in (self._gauges() if self._gauges else {}).items():
            yield GaugeMetricFamily(PREFIX + name, describe(name), value=number)

    def _endings(self) -> Metric:
        """Why calls ended; the label is one of the fixed terminations."""
        family = CounterMetricFamily(PREFIX + "call_endings", "Calls ended, by reason", labels=("reason",))
        for termination, number in self._counters.endings.items():
            family.add_metric([termination.slug], number)
        return family


class Metrics:
    """A registry of its own, so that nothing else in the process shows up on the page."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self, counters: Counters, gauges: Gauges | None = None) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(CountersCollector(counters, gauges))

    def render(self) -> bytes:
        return generate_latest(self._registry)


def describe(name: str) -> str:
    """The help text of a metric: its name in words."""
    return name.replace("_", " ").capitalize()
