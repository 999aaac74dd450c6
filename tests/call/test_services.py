"""What calls need: the real parts have the shapes that are asked for."""

from __future__ import annotations

import inspect

from gateway.call.run.services import Locator, SipSender
from gateway.location.service import Location
from gateway.net.endpoint import SipEndpoint


def methods(protocol: type) -> dict[str, list[str]]:
    """The methods a protocol asks for, with their parameters."""
    found = {name: part for name, part in vars(protocol).items() if inspect.isfunction(part) and name[0] != "_"}
    return {name: list(inspect.signature(part).parameters) for name, part in found.items()}


def test_the_sip_endpoint_has_the_shape_that_calls_use() -> None:
    for name, parameters in methods(SipSender).items():
        assert list(inspect.signature(getattr(SipEndpoint, name)).parameters) == parameters, name


def test_the_location_service_has_the_shape_that_calls_use() -> None:
    for name, parameters in methods(Locator).items():
        assert list(inspect.signature(getattr(Location, name)).parameters) == parameters, name
