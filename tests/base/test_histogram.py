"""A histogram counts what is at most each bound, as Prometheus reads it."""

from __future__ import annotations

from gateway.base.histogram import Histogram


def test_buckets_count_all_that_is_at_most_their_bound() -> None:
    histogram = Histogram((0.0, 1.0, 2.5))
    for value in (0.0, 0.5, 1.0, 2.0, 9.0):
        histogram.add(("a",), value)
    ((labels, buckets, total),) = histogram.rows()
    assert (labels, total) == (("a",), 12.5)
    assert buckets == [("0", 1), ("1", 3), ("2.5", 4), ("+Inf", 5)]


def test_labels_are_counted_apart_and_seeds_are_there_before() -> None:
    histogram = Histogram((1.0,), [("a",), ("b",)])
    histogram.add(("b",), 2.0)
    histogram.add(("c",), 0.5)
    rows = {labels[0]: (buckets, total) for labels, buckets, total in histogram.rows()}
    assert rows == {
        "a": ([("1", 0), ("+Inf", 0)], 0.0),
        "b": ([("1", 0), ("+Inf", 1)], 2.0),
        "c": ([("1", 1), ("+Inf", 1)], 0.5),
    }
