"""One rule says when a request goes on to another place of its trunk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.values import HostPort
from gateway.trunks.failover import MAX_PLACES, after, is_of_the_place, may_go_on
from tests.sip.fake_wire import stream, udp


@pytest.mark.parametrize("status", range(200, 700))
def test_503_alone_is_said_of_the_place_and_all_else_of_the_request(status: int) -> None:
    assert is_of_the_place(status) is (status == 503)


def test_each_place_is_tried_once_and_no_more_than_there_is_patience_for() -> None:
    tried = after((), udp(), udp(), stream())
    assert [str(spot) for spot in tried] == ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"]
    for number in range(MAX_PLACES):
        assert may_go_on(tried) is (len(tried) < MAX_PLACES)
        tried = after(tried, replace(udp(), remote=HostPort("192.0.2.9", 6000 + number)))
    assert not may_go_on(tried)
