"""Registrations of browsers that are gone are taken back at the PBX, as far as it lets us."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.call.registration import leaving
from tests.call.registration.reception import Reception, RelayedPage
from tests.rig.registrar import parameters

pytestmark = pytest.mark.asyncio


@pytest.fixture
def reception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reception:
    reception = Reception(tmp_path)
    reception.registrar.once = False
    monkeypatch.setattr(reception.relay._leavers, "_seconds", 0.0)
    return reception


async def leaves(page: RelayedPage) -> None:
    """The connection of a page ends."""
    page.reception.office.sip.gone.add(page.flow.id)
    page.reception.manager.flow_closed(page.flow)


async def test_a_lost_browser_is_taken_back_where_the_pbx_lets_a_nonce_be_used_again(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    registered = reception.relayed[-1]
    await leaves(page)
    await reception.settle()
    removing = reception.relayed[-1]
    assert reception.registrar.bindings["alice"] == {}
    assert (removing.call_id, removing.cseq.number) == (registered.call_id, registered.cseq.number + 1)
    assert removing.headers.get("Authorization") == registered.headers.get("Authorization")
    assert removing.contacts[0].params.get("expires") == "0"
    assert str(removing.contacts[0].uri) == str(registered.contacts[0].uri)
    assert len(reception.relay._leavers) == 0


async def test_where_the_pbx_does_not_it_is_asked_once_and_the_registration_runs_out(reception: Reception) -> None:
    reception.registrar.once = True
    page = RelayedPage(reception)
    await page.register()
    asked = len(reception.relayed)
    await leaves(page)
    await reception.settle()
    assert len(reception.relayed) == asked + 1
    assert len(reception.registrar.bindings["alice"]) == 1


async def test_a_page_that_is_loaded_anew_is_not_taken_back(reception: Reception) -> None:
    first, again = (RelayedPage(reception, number, instance="urn:uuid:1") for number in (1, 2))
    await first.register()
    await again.register()
    asked = len(reception.relayed)
    await leaves(first)
    await reception.settle()
    assert len(reception.relayed) == asked
    assert len(reception.registrar.bindings["alice"]) == 1


async def test_a_device_that_comes_back_in_time_is_not_taken_back(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception.relay._leavers, "_seconds", 0.05)
    first, again = (RelayedPage(reception, number, instance="urn:uuid:1") for number in (1, 2))
    await first.register()
    await leaves(first)
    await again.register()
    asked = len(reception.relayed)
    await asyncio.gather(*reception.relay._leavers._jobs)
    assert len(reception.relayed) == asked
    assert len(reception.registrar.bindings["alice"]) == 1


async def test_a_device_that_comes_back_while_it_is_taken_back_waits_and_stays(reception: Reception) -> None:
    first, again = (RelayedPage(reception, number, instance="urn:uuid:1") for number in (1, 2))
    await first.register()
    challenged = await again.send(again.register_request())
    proving = again.proving(challenged)
    reception.silent = True
    await leaves(first)
    await reception.settle()
    assert reception.relayed[-1].contacts[0].params.get("expires") == "0"
    asked = len(reception.relayed)
    assert await reception.hears(proving, again.flow) is None
    assert len(reception.relayed) == asked
    reception.silent = False
    await reception.settle()
    assert parameters(reception.relayed[-1].headers.get("Authorization") or "")["username"] == "alice"
    assert len(reception.registrar.bindings["alice"]) == 1
    assert reception.relay.user_of(again.flow) == "alice"


async def test_nothing_is_kept_of_a_connection_that_ends_while_it_waits_for_its_place(reception: Reception) -> None:
    first, again = (RelayedPage(reception, number, instance="urn:uuid:1") for number in (1, 2))
    await first.register()
    proving = again.proving(await again.send(again.register_request()))
    reception.silent = True
    await leaves(first)
    await reception.settle()
    assert await reception.hears(proving, again.flow) is None
    await leaves(again)
    reception.silent = False
    await reception.settle()
    assert len(reception.relay.book) == 0


async def test_who_has_signed_out_is_not_taken_back_again(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    await page.register(expires=0)
    asked = len(reception.relayed)
    await leaves(page)
    await reception.settle()
    assert len(reception.relayed) == asked


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    reception = Reception(tmp_path, unregister="false")
    page = RelayedPage(reception)
    await page.register()
    asked = len(reception.relayed)
    await leaves(page)
    await reception.settle()
    assert len(reception.relayed) == asked
    assert len(reception.relay._leavers) == 0


async def test_when_every_connection_ends_at_once_the_pbx_is_not_flooded(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "MAX_LEAVING", 12)
    pages = [RelayedPage(reception, number, host=f"192.0.2.{number}") for number in range(1, 21)]
    for page in pages:
        await page.register()
    asked = len(reception.relayed)
    reception.silent = True
    for page in pages:
        await leaves(page)
    assert len(reception.relay._leavers) == 12
    await reception.settle()
    assert len(reception.relayed) - asked == leaving.MAX_ASKED
    reception.silent = False
    await reception.settle()
    assert len(reception.relayed) - asked == 12


async def test_a_gateway_that_stops_takes_nothing_back(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    asked = len(reception.relayed)
    await leaves(page)
    await reception.manager.stop()
    await asyncio.sleep(0)
    assert len(reception.relayed) == asked
    assert len(reception.relay._leavers) == 0
