"""What a trunk sees of a browser's call: the INVITE, through this gateway and through Kamailio + rtpengine.

The browser is Chromium by its offer (`tests/vectors`); headers are a library's.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from bench.bridge import HOST, Bridge, is_here
from bench.rate import NUMBER, LoadMedia, Product
from tests.rig.browser import ScriptedBrowser
from tests.rig.ports import free_port

OFFER = Path(__file__).parents[1] / "tests/vectors/sdp/chromium_offer.sdp"
WAIT_SECONDS = 5.0


class ChromiumMedia(LoadMedia):
    """Says what Chromium said."""

    def description(self, *, setup: str = "", direction: str = "sendrecv") -> bytes:
        return OFFER.read_bytes()


async def main() -> None:
    """Print both."""
    port = free_port(host=HOST)
    print(f"=== this gateway\n{await _seen(Product(port), port)}")
    if is_here():
        print(f"=== Kamailio + rtpengine\n{await _seen(Bridge(port), port)}")


async def _seen(system: Product | Bridge, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk:
        trunk.bind((HOST, port))
        trunk.setblocking(False)
        system.start()
        try:
            browser = await ScriptedBrowser(system.origin, system.users[0]).sign_in()
            call = await browser.invite(NUMBER, ChromiumMedia(host=HOST))
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(trunk, 65535), WAIT_SECONDS)
            call.media.close()
            await browser.close()
        finally:
            system.stop()
    return data.decode().replace("\r\n", "\n")
