"""Starting and stopping the demonstration's phones."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.demo import layout as layout_module
from gateway.demo.layout import prepare
from gateway.demo.phones import Phones

pytest.importorskip("pjsua2", reason="pjsua2 has no build for this Python or machine")
pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def ports_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "SIP_PORT", 15660)
    monkeypatch.setattr(layout_module, "BROWSER_MEDIA_PORT", 15610)
    monkeypatch.setattr(layout_module, "local_address", lambda: None)


@pytest.mark.asyncio
async def test_all_phones_start_together_and_end_with_the_demonstration(tmp_path: Path) -> None:
    phones = Phones(prepare(tmp_path, "127.0.0.1", 15643), lambda sentence: None)
    try:
        await phones.start()
        assert [phone.problem for phone in phones.phones] == [""] * 5
    finally:
        await phones.stop()
    assert [phone.process.returncode for phone in phones.phones if phone.process] == [0] * 5


@pytest.mark.asyncio
async def test_phone_whose_port_is_taken_says_so_and_the_others_start(tmp_path: Path) -> None:
    layout = prepare(tmp_path, "127.0.0.1", 15643)
    address = layout.roles[0].address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:  # between the choice of the port and the start
        taken.bind((address.host, address.port))
        phones = Phones(layout, lambda sentence: None)
        try:
            await phones.start()
            assert [phone.problem for phone in phones.phones] == [f"{address} is taken", "", "", "", ""]
        finally:
            await phones.stop()


@pytest.mark.asyncio
async def test_phone_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    told: asyncio.Queue[str] = asyncio.Queue(5)
    phones = Phones(prepare(tmp_path, "127.0.0.1", 15643), told.put_nowait)
    try:
        await phones.start()
        process = phones.phones[0].process
        assert process is not None
        process.kill()
        async with asyncio.timeout(10):
            assert await told.get() == "phone 600 ended by itself (status -9)"
    finally:
        await phones.stop()
