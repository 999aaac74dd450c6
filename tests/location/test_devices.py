"""Who is the same device on another connection, and who is not."""

from __future__ import annotations

import pytest

from gateway.location.binding import MAX_BINDINGS, Binding
from gateway.location.devices import Device, Devices, device_of
from gateway.sip.address import NameAddr
from gateway.sip.uri import SipUri
from tests.location.pages import connection

ONE, TWO = connection(1), connection(2)


def device(
    contact: str = "sip:x1@a.invalid", instance: str = "", registration: str = "1", *, user: str = "alice"
) -> Device:
    text = f"<{contact};transport=ws>"
    if instance:
        text += f';+sip.instance="<urn:uuid:{instance}>";reg-id={registration}'
    return Device.of(user, Binding("node", ONE, NameAddr.parse(text), text, "reg", 1, 600.0))


def bound(devices: Devices, number: int, *texts: str) -> tuple[Device, ...]:
    flow = connection(number)
    bindings = [Binding("node", flow, NameAddr.parse(text), text, "reg", 1, 600.0) for text in texts]
    return devices.bound(flow, "alice", bindings)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (device(instance="A"), device("sip:y2@b.invalid", "A"), True),
        (device(instance="A"), device(instance="A", registration="2"), True),
        (device(instance="A"), device(instance="B"), False),
        (device(instance="A"), device(), False),
        (device(), device(instance="A"), False),
        (device(), device("sip:x1@A.INVALID"), True),
        (device(), device("sip:X1@a.invalid"), False),
        (device(), device("sip:x1@b.invalid"), False),
        (device(), device(user="bob"), False),
        (device(instance="A"), device(instance="A", user="bob"), False),
    ],
)
def test_an_instance_is_the_device_and_without_one_its_contact_is(one: Device, other: Device, same: bool) -> None:
    assert one.is_same(other) is same


def test_a_second_registration_of_a_device_stands_beside_the_first() -> None:
    first, second = device(instance="A"), device(instance="A", registration="2")
    assert not second.takes_the_place_of(first)
    assert device("sip:other@b.invalid", "A").takes_the_place_of(first)


def test_a_refresh_says_nothing_new_and_a_connection_that_is_gone_is_forgotten() -> None:
    devices = Devices()
    assert len(bound(devices, 1, "<sip:x1@a.invalid>")) == 1
    assert bound(devices, 1, "<sip:x1@a.invalid>;expires=60") == ()
    assert len(devices.of(ONE)) == 1
    devices.forget(ONE)
    devices.forget(ONE)
    assert devices.of(ONE) == ()
    assert len(devices) == 0
    assert devices._flows_of == {}


def test_a_connection_that_registers_ever_new_devices_keeps_the_last() -> None:
    devices = Devices()
    for number in range(3 * MAX_BINDINGS):
        bound(devices, 1, f"<sip:x{number}@a.invalid>")
    assert len(devices.of(ONE)) == MAX_BINDINGS
    assert devices.of(ONE)[-1].contact == (f"x{3 * MAX_BINDINGS - 1}", "a.invalid")


def test_a_device_is_found_on_the_connection_it_registered_over_last() -> None:
    devices = Devices()
    (found,) = bound(devices, 1, '<sip:x1@a.invalid>;+sip.instance="<urn:uuid:A>";reg-id=1')
    bound(devices, 2, '<sip:x1@a.invalid>;+sip.instance="<urn:uuid:A>";reg-id=2')
    assert devices.elsewhere(found) == TWO
    devices.forget(TWO)
    assert devices.elsewhere(found) == ONE
    assert devices.elsewhere(device(instance="B")) is None


def test_a_dialog_is_with_the_device_its_contact_names() -> None:
    one, other = device("sip:x1@a.invalid", "A"), device("sip:y2@b.invalid", "B")
    named = SipUri.parse("sip:x1@A.invalid;transport=ws;ob")
    assert device_of([one, other], "alice", named) is one
    assert device_of([one, other], "alice", SipUri.parse("sip:else@where.invalid")) is other
    assert device_of([], "alice", named) == Device("alice", ("x1", "a.invalid"))
    assert device_of([], "alice", None) is None
