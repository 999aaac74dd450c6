"""Gateway, trunks and browsers of one attack or churn test, put together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.sip.message import Request
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.gateway import GatewaySetup, Record
from tests.rig.hosted import HostedGateway
from tests.rig.media import FROM_BROWSER, FROM_TRUNK, TrunkMedia
from tests.rig.ports import free_port
from tests.rig.srtp import CM_80, Profile
from tests.rig.trunk import Answer, FakeTrunk

PLAIN_HOST, SDES_HOST, ATTACKER_HOST = "127.0.2.1", "127.0.2.2", "127.0.2.66"
PLAIN, SDES, MORE, EMERGENCY = "700", "701", "71", "112"
"""The numbers of the trunk in clear over UDP and of the one with SDES over verified TLS; numbers that begin with
`MORE` and the emergency number go to the first one too."""


class HostedScene:
    """One gateway and its trunks. A trunk answers with `media[number]`; a test may put its own script in `scripts`.

    Args:
        media_host: where both have their media and the gateway its own towards them, if not where they signal.
    """

    def __init__(self, directory: Path, **options: Any) -> None:
        self.ports = {PLAIN: free_port(host=PLAIN_HOST), SDES: free_port(host=SDES_HOST)}
        security = options.pop("sdes_security", "strict")
        plain = options.pop("plain", {})
        media_host: str = options.pop("media_host", "")
        setup = GatewaySetup(directory, trunks={}, outbound=[], **options.pop("setup", {}))
        setup.trunks = {
            "plain": self._trunk(PLAIN, PLAIN_HOST, "legacy", "") | plain,
            "sdes": self._trunk(SDES, SDES_HOST, security, ";transport=tls")
            | {"tls": {"ca": str(setup.certificates.ca.certificate), "names": ["pbx.demo.test"]}},
        }
        for trunk in setup.trunks.values() if media_host else ():
            trunk["media"] = {"bind": media_host}
        setup.outbound = [
            {"id": "plain", "dialled": PLAIN, "trunk": "plain"},
            {"id": "sdes", "dialled": SDES, "trunk": "sdes"},
            {"id": "sos", "dialled": EMERGENCY, "trunk": "plain", "emergency": True},
            {"id": "more", "dialled": f"{MORE}*", "trunk": "plain"},
        ]
        self.setup = setup
        self.host = HostedGateway(setup, **options)
        self.media: dict[str, TrunkMedia] = {}
        self.media_hosts = {PLAIN: media_host or PLAIN_HOST, SDES: media_host or SDES_HOST}
        """Where the trunks have their media."""
        self.scripts: dict[str, Any] = {}
        self.trunks = {number: self.new_trunk(number) for number in (PLAIN, SDES)}

    def new_trunk(self, number: str) -> FakeTrunk:
        """The trunk behind a number, not started yet."""
        if number == PLAIN:
            return FakeTrunk(PLAIN_HOST, self.ports[PLAIN], lambda r: self._script(PLAIN, r))
        pair = self.setup.certificates.pbx
        return FakeTrunk(SDES_HOST, self.ports[SDES], lambda r: self._script(SDES, r), transport="tls", pair=pair)

    def _trunk(self, number: str, host: str, profile: str, suffix: str) -> dict[str, Any]:
        return {
            "target": f"sip:{host}:{self.ports[number]}{suffix}",
            "security": profile,
            "networks": [f"{host}/32"],
        }

    def _script(self, number: str, request: Request) -> list[Answer]:
        script = self.scripts.get(number)
        if script is not None:
            return list(script(request))
        return [(200, self.media[number].answer(request))]

    def answer_with(self, number: str, profile: Profile | None = None) -> TrunkMedia:
        """A fresh media end behind a number."""
        if number in self.media:
            self.media.pop(number).close()
        self.media[number] = TrunkMedia(self.media_hosts[number], profile or (CM_80 if number == SDES else None))
        return self.media[number]

    async def start(self) -> HostedScene:
        await self.host.start()
        for trunk in self.trunks.values():
            trunk.start()
        return self

    async def stop(self) -> None:
        await self.host.stop()
        for trunk in self.trunks.values():
            await asyncio.to_thread(trunk.stop)
        for media in self.media.values():
            media.close()

    async def browser(self, user: str = "alice", **options: str) -> ScriptedBrowser:
        return await ScriptedBrowser(self.setup.origin, user, **options).sign_in()

    async def call(self, browser: ScriptedBrowser, number: str, **options: Any) -> tuple[BrowserCall, TrunkMedia, str]:
        """A call with nobody talking yet: its browser end, its trunk end, its identity in the audit log."""
        trunk = self.answer_with(number)
        call = await browser.dial(number, **options)
        return call, trunk, self.host.last_call()

    async def canary(self, number: str = SDES) -> Record:
        """A clean call: both sides hear each other, and the log has its beginning, its legs and its end."""
        browser = await self.browser("bob")
        try:
            call, trunk, uid = await self.call(browser, number)
            await both_hear(call, trunk)
            trunk.hush()
            await call.hang_up()
            final = await self.host.final(uid)
            assert final["termination"] == "hangup-browser"
            assert len(self.host.records("call.start", uid)) == 1
            return final
        finally:
            await browser.close()


async def both_hear(call: BrowserCall, trunk: TrunkMedia, count: int = 5) -> None:
    """Let both ends talk until each has heard the other; they go on talking."""
    call.media.talk()
    trunk.talk()
    await asyncio.gather(call.media.hears(FROM_TRUNK, count), trunk.hears(FROM_BROWSER, count))
