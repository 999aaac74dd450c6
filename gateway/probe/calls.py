"""The two synthetic calls: a browser that dials a number, and a trunk that calls a user whose browser the probe is.

connect -> sign in -> INVITE -> 180 -> 200 -> ICE -> DTLS -> sound both ways -> BYE -> sign off
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from gateway.base.errors import SdpError, SipError, TransportError
from gateway.base.values import HostPort, Secret
from gateway.probe.phone import Phone, RefusedError
from gateway.probe.result import End, Result
from gateway.probe.rtp import Offer, RtpEnd
from gateway.probe.wire import DatagramWire, StreamWire, WebSocketWire, Wire
from gateway.sip.digest_client import Login
from gateway.sip.uri import SipUri

BROWSER_HZ, TRUNK_HZ = 1000.0, 700.0
"""The tones of the two ends: apart from each other, and from what networks announce things with."""
FIRST_AUDIO_SECONDS = 5.0
"""How long the first sound is waited for after the answer."""
ASK_SECONDS = 3.0
"""How long the gateway may take to say what it thinks of the legs."""


class MediaEnd(Protocol):
    """What a browser's end does; `webrtc.BrowserEnd` has this shape."""

    ice_done: asyncio.Future[float]
    dtls_done: asyncio.Future[float]
    first_audio: asyncio.Future[float]

    async def offer(self) -> bytes: ...

    async def accept(self, answer: bytes) -> None: ...

    async def reply(self, offer: bytes) -> bytes: ...

    async def connected(self) -> None: ...

    def finish(self) -> End: ...

    async def close(self) -> None: ...


AskLegs = Callable[[str], Awaitable[list[Mapping[str, object]]]]
"""Asks the gateway for the legs of the call with this id; no legs where it cannot be asked."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """The gateway's front door, and who knocks."""

    url: str
    """Of the WebSocket."""
    origin: str
    realm: str
    user: str
    password: Secret[str]
    tls: ssl.SSLContext | aiohttp.Fingerprint | bool = True
    """How the gateway's certificate is verified; True: by the authorities of the system."""


@dataclass(frozen=True, kw_only=True)
class TrunkSide:
    """How a call from a trunk is made."""

    name: str
    source: str
    """Address of this machine that the gateway knows as that trunk's."""
    gateway: HostPort
    """Its SIP listener."""
    transport: str
    """`udp` or `tcp`."""
    offer: Offer


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One call."""

    number: str
    ring_seconds: float = 30.0
    talk_seconds: float = 3.0
    make_end: Callable[[float], MediaEnd] = field(repr=False)
    ask_legs: AskLegs = field(repr=False)


class Clock:
    """Takes the time of each step, from the end of the one before."""

    def __init__(self, result: Result) -> None:
        self._result, self.last = result, time.monotonic()

    def mark(self, name: str, at: float | None = None) -> None:
        """A step is done; one that came before the last took no time of its own."""
        at = time.monotonic() if at is None else at
        self._result.marks[name] = max(0.0, at - self.last)
        self.last = max(self.last, at)

    def step(self, words: str) -> None:
        self._result.steps.append(words)


@contextlib.asynccontextmanager
async def _told(result: Result) -> AsyncIterator[None]:
    """Whatever goes wrong on the way becomes the failure of the result."""
    try:
        yield
    except RefusedError as error:
        result.status, result.failure = error.status, str(error)
    except (TransportError, SdpError, SipError) as error:
        why = f" ({error.verification})" if isinstance(error, TransportError) and error.verification else ""
        result.failure = f"{error}{why}"


async def browser_calls(door: Door, plan: Plan) -> Result:
    """Call a number through the front door and measure everything."""
    result = Result(f"browser {door.user} calls {plan.number}")
    clock = Clock(result)
    async with _told(result), _signed_in(door, clock) as phone:
        end = plan.make_end(BROWSER_HZ)
        try:
            await _dial(phone, end, door, plan, clock)
            result.status = 200
            await _talk(phone, [end], plan, clock)
            result.legs = await _legs(plan, phone.security)
        finally:
            result.security = phone.security
            await _hang_up(phone, clock)
            await end.close()
            result.ends = [await asyncio.to_thread(end.finish)]
    return result


async def trunk_calls(door: Door, trunk: TrunkSide, plan: Plan) -> Result:
    """Call a user from a trunk; the probe is the user's browser, too, so that both ways are measured."""
    result = Result(f"trunk {trunk.name} calls {plan.number}, browser {door.user} answers")
    clock = Clock(result)
    async with _told(result), _signed_in(door, clock) as phone, _trunk_phone(trunk, door.realm) as caller:
        browser = plan.make_end(BROWSER_HZ)
        port = RtpEnd(trunk.source, trunk.offer, TRUNK_HZ)
        try:
            await port.open()
            await _call_in(caller, phone, browser, port, trunk, plan, clock)
            result.status = 200
            port.talk()
            await _talk(phone, [browser, port], plan, clock)
            result.legs = await _legs(plan, phone.security)
        finally:
            result.security = phone.security
            await _hang_up(caller, clock)
            await port.close()
            await browser.close()
            result.ends = [await asyncio.to_thread(end.finish) for end in (browser, port)]
    return result


@contextlib.asynccontextmanager
async def _signed_in(door: Door, clock: Clock) -> AsyncIterator[Phone]:
    wire = await WebSocketWire.open(door.url, door.origin, door.tls)
    clock.mark("connect")
    clock.step(f"opened {door.url}")
    contact = f"<sip:{door.user}@{wire.open_flow.local.host};transport=ws>"
    address = f"<{SipUri.of(door.user, door.realm)}>"
    phone = Phone(wire, address, contact, Login(door.user, door.password))
    try:
        await phone.sign_in(door.realm)
        clock.mark("sign_in")
        clock.step(f"signed in as {door.user}")
        yield phone
    finally:
        await phone.sign_off(door.realm)
        await phone.close()


@contextlib.asynccontextmanager
async def _trunk_phone(trunk: TrunkSide, realm: str) -> AsyncIterator[Phone]:
    source = HostPort(trunk.source, 0)
    wire: Wire
    if trunk.transport == "udp":
        wire = await DatagramWire.open(source, trunk.gateway)
    else:
        wire = await StreamWire.open(source, trunk.gateway)
    contact = f"<sip:probe@{wire.open_flow.local};transport={trunk.transport}>"
    phone = Phone(wire, f"<{SipUri.of('probe', trunk.source)}>", contact)
    try:
        yield phone
    finally:
        await phone.close()


async def _dial(phone: Phone, end: MediaEnd, door: Door, plan: Plan, clock: Clock) -> None:
    offer = await end.offer()
    clock.last = time.monotonic()
    rang: dict[int, float] = {}

    def heard(status: int, at: float) -> None:
        rang.setdefault(status, at)

    clock.step(f"sent INVITE to {plan.number}")
    uri = str(SipUri.of(plan.number, door.realm))
    response = await phone.dial(uri, offer, plan.ring_seconds, heard)
    answered = time.monotonic()
    if ringing := [at for status, at in rang.items() if status > 100]:
        clock.mark("ringing", min(ringing))
    clock.mark("answer", answered)
    clock.step("was answered 200")
    await end.accept(response.body)
    await _unless_ended(phone, end.connected())
    clock.mark("ice", end.ice_done.result())
    clock.mark("dtls", end.dtls_done.result())
    clock.step("ICE and DTLS are done")


async def _call_in(
    caller: Phone, phone: Phone, browser: MediaEnd, port: RtpEnd, trunk: TrunkSide, plan: Plan, clock: Clock
) -> None:
    """INVITE from the trunk; the browser answers at once."""
    clock.last = time.monotonic()
    clock.step(f"sent INVITE to {plan.number} from {trunk.source} over {trunk.transport}, offering {trunk.offer}")
    uri = f"sip:{plan.number}@{trunk.gateway}"
    loop = asyncio.get_running_loop()
    dialling = loop.create_task(caller.dial(uri, port.describe(), plan.ring_seconds))
    try:
        waiting: set[asyncio.Future[Any]] = {dialling, phone.invited}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if phone.invited.done():
            clock.mark("ringing")
            event = phone.invited.result()
            answer = await browser.reply(event.request.body)
            await phone.answer(event, lambda _offer: answer)
        response = await dialling
    finally:
        dialling.cancel()
        await asyncio.gather(dialling, return_exceptions=True)
    clock.mark("answer")
    clock.step("the browser answered")
    port.accept(response.body)
    await _unless_ended(phone, port.keyed())
    await _unless_ended(phone, browser.connected())
    clock.mark("ice", browser.ice_done.result())
    clock.mark("dtls", browser.dtls_done.result())


async def _talk(phone: Phone, ends: list[MediaEnd | RtpEnd], plan: Plan, clock: Clock) -> None:
    """Let the tones run; a call that the other side ends meanwhile has failed."""
    clock.step(f"sent tones for {plan.talk_seconds:g} s; nobody's voice is sent or kept")
    began = time.monotonic()
    first = ends[0].first_audio
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_AUDIO_SECONDS):
            await _unless_ended(phone, asyncio.shield(first))
            clock.mark("first_audio", first.result())
    await _unless_ended(phone, asyncio.sleep(max(0.1, plan.talk_seconds - (time.monotonic() - began))))


async def _done(work: Awaitable[object]) -> None:
    await work


async def _unless_ended(phone: Phone, work: Awaitable[object]) -> None:
    """Wait for something that makes sense only while the call lasts.

    Raises:
        TransportError: the other side hung up meanwhile.
    """
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[Any]] = [loop.create_task(_done(work)), loop.create_task(_done(phone.ended.wait()))]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not waiting[0].done():
            raise TransportError(f"the call was ended: {phone.end_reason}")
        await waiting[0]
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _hang_up(phone: Phone, clock: Clock) -> None:
    if phone.is_talking:
        await phone.hang_up()
        clock.step("hung up")


async def _legs(plan: Plan, security: dict[str, str]) -> list[Mapping[str, object]]:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await plan.ask_legs(security.get("id", ""))
    except TimeoutError:
        return []
