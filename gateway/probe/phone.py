"""The user agent of a probe: it signs in, dials, answers and hangs up, one call at a time (RFC 3261 8, 10, 12, 13)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from gateway.audit.clean import cleaned_text
from gateway.base.errors import SipError, TransportError
from gateway.probe.result import read_security
from gateway.probe.wire import Wire, token
from gateway.sip.address import NameAddr
from gateway.sip.dialog import Dialog
from gateway.sip.digest_client import Login
from gateway.sip.events import RequestReceived
from gateway.sip.message import Headers, Request, Response, create_response

SIGN_IN_SECONDS = 10.0
"""How long signing in may take: the registrar waits 8 s for its turn at most."""
HANG_UP_SECONDS = 4.0
"""How long the answer to a BYE, or to a sign-off, is waited for."""
EXPIRES = 120
"""Seconds of the registration: a probe that is killed is forgotten soon."""
USER_AGENT = "sip-gateway-probe"
SDP = "application/sdp"
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "NOTIFY")
ALLOW = ", ".join(METHODS)


class RefusedError(TransportError):
    """The other side said no.

    Args:
        status: the SIP status it said so with.
    """

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


def refusal(response: Response, doing: str = "") -> RefusedError:
    """What a final failure says, with the reasons it gives."""
    named = [response.headers.get(name) for name in ("Warning", "Reason", "Retry-After")]
    reasons = "".join(f"; {cleaned_text(text)}" for text in named if text)
    words = f"{doing}{response.status} {cleaned_text(response.reason)}{reasons}"
    return RefusedError(words, response.status)


class Phone:
    """One user agent on one wire.

    Args:
        address: who it is, as From of its requests.
        contact: where it is called; a browser's leads nowhere (RFC 7118 5).
    """

    def __init__(self, wire: Wire, address: str, contact: str, login: Login | None = None) -> None:
        self.wire, self.address, self.login = wire, NameAddr.parse(address), login
        self.contact = NameAddr.parse(contact)
        self.invited: asyncio.Future[RequestReceived] = asyncio.get_running_loop().create_future()
        """The INVITE that came, once one has."""
        self.ended = asyncio.Event()
        """The other side has hung up."""
        self.end_reason = ""
        self.security: dict[str, str] = {}
        """The Call-Security header that came last."""
        self._dialog: Dialog | None = None
        self._registration = (token(20), token(10))
        self._cseq = 0
        """Of the REGISTER that went out last; those that followed a challenge count too (RFC 3261 10.2)."""
        self._may_be_bound = False
        self._task = asyncio.get_running_loop().create_task(self._serve())

    # --- signing in

    async def sign_in(self, realm: str) -> None:
        """REGISTER, and answer the challenge.

        Raises:
            TransportError: it was refused (`RefusedError`), or there was no answer.
        """
        self._may_be_bound = True  # also where the answer is lost
        response = await self._register(realm, EXPIRES, SIGN_IN_SECONDS)
        if response.status != 200:
            self._may_be_bound = False
            raise refusal(response, "sign-in refused: ")

    async def sign_off(self, realm: str) -> None:
        """Remove the Contact; whoever does not answer forgets it soon anyway. A refused password is not tried again."""
        if self._may_be_bound:
            with contextlib.suppress(TransportError, SipError):
                await self._register(realm, 0, HANG_UP_SECONDS)

    async def _register(self, realm: str, expires: int, seconds: float) -> Response:
        call_id, tag = self._registration
        request = Request(
            "REGISTER",
            f"sip:{realm}",
            Headers(
                [
                    ("From", self.address.with_tag(tag)),
                    ("To", self.address),
                    ("Call-ID", call_id),
                    ("CSeq", f"{self._cseq + 1} REGISTER"),
                    ("Contact", str(self.contact)),
                    ("Expires", str(expires)),
                    ("User-Agent", USER_AGENT),
                ]
            ),
        )
        self._cseq += 1
        sent, response = await self.wire.ask(request, seconds, login=self.login)
        self._cseq = sent.cseq.number
        return response

    # --- calling

    async def dial(
        self, uri: str, offer: bytes, seconds: float, rang: Callable[[int, float], None] = lambda _s, _t: None
    ) -> Response:
        """INVITE and ACK; the 200.

        Args:
            rang: told the status and the time (monotonic) of each provisional response.

        Raises:
            TransportError: it was refused (`RefusedError`), or nobody answered in time.
        """
        call_id, tag = token(20), token(10)
        request = Request(
            "INVITE",
            uri,
            Headers(
                [
                    ("From", self.address.with_tag(tag)),
                    ("To", f"<{uri}>"),
                    ("Call-ID", call_id),
                    ("CSeq", "1 INVITE"),
                    ("Contact", str(self.contact)),
                    ("Allow", ALLOW),
                    ("User-Agent", USER_AGENT),
                    ("Content-Type", SDP),
                ]
            ),
            offer,
        )

        def heard(response: Response) -> None:
            self._note(response)
            rang(response.status, time.monotonic())

        sent, response = await self.wire.ask(request, seconds, login=self.login, heard=heard)
        self._note(response)
        if response.status >= 300:
            raise refusal(response)
        self._dialog = Dialog.uac(sent, response)
        self.wire.acknowledge(self._dialog.ack(sent.cseq.number, self.contact))
        return response

    async def answer(self, event: RequestReceived, describe: Callable[[bytes], bytes]) -> None:
        """Answer a call with a description made of its offer, and wait for the ACK.

        Raises:
            TransportError: there was no ACK.
        """
        self._note(event.request)
        tag = token(10)
        self._dialog = Dialog.uas(event.request, tag)
        headers = [("Contact", str(self.contact)), ("Allow", ALLOW)]
        body = describe(event.request.body)
        self.wire.respond(
            event.key,
            create_response(event.request, 200, to_tag=tag, headers=headers, body=body, content_type=SDP),
        )
        try:
            async with asyncio.timeout(SIGN_IN_SECONDS):
                await self.wire.acknowledged.wait()
        except TimeoutError:
            raise TransportError("our 200 was not acknowledged") from None

    @property
    def is_talking(self) -> bool:
        """Whether there is a call to hang up on."""
        return self._dialog is not None and not self.ended.is_set()

    async def hang_up(self) -> None:
        """BYE, unless the other side was first."""
        if self._dialog is None or self.ended.is_set():
            return
        with contextlib.suppress(TransportError, SipError):
            await self.wire.ask(self._dialog.new_request("BYE", None), HANG_UP_SECONDS, login=self.login)
        self._dialog = None

    async def close(self) -> None:
        """Nothing of it runs after this."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.wire.close()

    # --- what the other side asks

    async def _serve(self) -> None:
        while True:
            event = await self.wire.requests.get()
            with contextlib.suppress(SipError):
                self._take(event)

    def _take(self, event: RequestReceived) -> None:
        request = event.request
        self._note(request)
        if request.method == "INVITE" and request.to.tag is None:
            self._invited(event)
        elif request.method == "INVITE":
            self.wire.refuse(event, 488)  # what was agreed on stays; a probe follows no changes
        else:
            if request.method == "BYE":
                self.end_reason = cleaned_text(request.headers.get("Reason") or "the other side hung up")
                self.ended.set()
            self.wire.refuse(event, 200 if request.method in METHODS else 405)

    def _invited(self, event: RequestReceived) -> None:
        if self.invited.done():
            self.wire.refuse(event, 486)
        else:
            self.invited.set_result(event)

    def _note(self, message: Request | Response) -> None:
        value = message.headers.get("Call-Security")
        if value:
            with contextlib.suppress(SipError):
                self.security = read_security(value)
