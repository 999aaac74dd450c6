"""Finds the calls of a device that has lost its connection, or is found on another one (RFC 5626 4.4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.call.legs.leg import Leg
from gateway.call.machine import events
from gateway.call.run.index import CallIndex
from gateway.location.devices import Device, Devices, device_of
from gateway.sip.flow import Flow

if TYPE_CHECKING:
    from gateway.call.run.runner import CallRunner


class Comeback:
    """Between the registrar, which knows who is where, and the calls, which wait for somebody."""

    def __init__(self, index: CallIndex, devices: Devices) -> None:
        self._index, self._devices = index, devices

    def lost(self, runner: CallRunner, leg: Leg, known: Sequence[Device]) -> None:
        """The connection of a browser's leg has closed; the device may be there over another one already.

        Args:
            known: who had registered over it.
        """
        device = _of_leg(leg, known)
        runner.feed(events.ConnectionClosed(leg.id, device))
        flow = self._devices.elsewhere(device) if device is not None else None
        if flow is not None and leg.is_away:
            runner.feed(events.FlowMoved(leg.id, flow))

    def bound(self, flow: Flow, new: Sequence[Device]) -> None:
        """These devices have registered over this connection for the first time: their calls go on there."""
        for runner in {runner: None for user in {one.user for one in new} for runner in self._index.of_user(user)}:
            for leg in list(runner.state.legs.values()):
                if leg.habits.returns and leg.flow.id != flow.id and self._is_theirs(leg, new):
                    runner.feed(events.FlowMoved(leg.id, flow))

    def _is_theirs(self, leg: Leg, new: Sequence[Device]) -> bool:
        """Whether one of the devices is that of the leg, come back, or gone elsewhere before we noticed."""
        if leg.is_away:
            return leg.device is not None and any(one.is_same(leg.device) for one in new)
        known = _of_leg(leg, self._devices.of(leg.flow))
        return known is not None and any(one.takes_the_place_of(known) for one in new)


def _of_leg(leg: Leg, known: Sequence[Device]) -> Device | None:
    return device_of(known, leg.number, leg.dialog.remote_target if leg.dialog is not None else None)
