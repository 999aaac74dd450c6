"""One registration of ours at a trunk (RFC 3261 10.2): what is sent, what an answer means, when it is sent again.

No clock and no sockets: `registering` has them. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.base.errors import SipError
from gateway.base.values import TokenSource
from gateway.sip.address import NameAddr
from gateway.sip.cseq import MAX_CSEQ, CSeq
from gateway.sip.digest_client import Login
from gateway.sip.grammar import escape_user, printable
from gateway.sip.headers import Item
from gateway.sip.message import Headers, Request, Response
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.retry_after import retry_after
from gateway.sip.uri import SipUri

TOKEN_LENGTH = 20
LONGEST = 86_400
"""Seconds a registrar can make us ask for (423), and the longest binding that is believed."""
SHORTEST = 10
"""A binding that is shorter than this is refreshed as if it were this long: nobody makes us ask faster."""
REFRESH = 0.8
"""The part of its life after which a binding is refreshed; what is left covers a failover and a few retries."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds after the first failure, doubled with each that follows."""
REFUSED_PAUSE, LONGEST_REFUSED = 60.0, 3_600.0
"""The same after a refusal: a wrong password that is tried again at once locks the account of an office."""
LONGEST_RETRY_AFTER = 3_600
JITTER = 0.2
"""By how much of itself a pause is longer or shorter: a hundred gateways must not come back in one second."""
MAX_REASON = 80


class Standing(StrEnum):
    """How a registration stands, as people read it."""

    TRYING = "trying"
    REGISTERED = "registered"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RegistrationPlan:
    """What the configuration wants registered."""

    trunk: str
    user: str
    """The user part of our address of record there, and of our Contact: calls to us come for it."""
    domain: str
    expires: int
    login: Login | None

    @property
    def aor(self) -> str:
        """The address of record."""
        return f"sip:{escape_user(self.user)}@{self.domain}"


class Registration:
    """Where one registration stands.

    Args:
        tokens: for Call-ID and tag, which stay the same as long as the process lives (RFC 3261 10.2.4).
    """

    def __init__(self, plan: RegistrationPlan, tokens: TokenSource) -> None:
        self.plan = plan
        self.standing = Standing.TRYING
        self.why = ""
        """In a few words, where it is not registered."""
        self.until = 0.0
        """When the binding runs out, be it that it could not be refreshed since."""
        self._call_id, self._tag = tokens(TOKEN_LENGTH), tokens(TOKEN_LENGTH)
        self._number = 0
        self._expires = plan.expires
        self._failures = 0
        self._has_followed = False
        """Whether what is asked for now is what the last answer wanted."""

    @property
    def is_bound(self) -> bool:
        """Whether the trunk, as far as we know, sends calls here."""
        return self.standing is Standing.REGISTERED

    def request(self, contact: NameAddr, *, leave: bool = False) -> Request:
        """The next REGISTER, or the one that takes our Contact away."""
        self._number = self._number % MAX_CSEQ + 1
        aor = self.plan.aor
        fields: list[Item] = [
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", f"<{aor}>;tag={self._tag}"),
            ("To", f"<{aor}>"),
            ("Call-ID", self._call_id),
            ("CSeq", CSeq(self._number, "REGISTER")),
            ("Contact", contact),
            ("Expires", "0" if leave else str(self._expires)),
        ]
        return Request("REGISTER", f"sip:{self.plan.domain}", Headers(fields))

    def answered(self, response: Response, contact: NameAddr, now: float, lot: float) -> float:
        """A final response: seconds until the next REGISTER.

        Args:
            contact: the one that was sent.
            lot: drawn from 0 to 1.
        """
        has_followed, self._has_followed = self._has_followed, False
        if response.status < 300:
            return self._bound(response, contact, now, lot)
        if response.status == 423 and not has_followed and self._follows(response):
            return 0.0
        if response.status in (408, 480, 500, 502, 503, 504):
            return self._lost(f"{response.status} {_words(response)}", lot, _retry_after(response))
        return self._refused(response, lot)

    def unanswered(self, why: str, lot: float) -> float:
        """No answer, or no way to ask: seconds until the next REGISTER."""
        return self._lost(why, lot)

    def connection_lost(self, lot: float) -> float:
        """The connection the trunk would call us over is gone: it is asked again soon, once per loss."""
        return self._lost("connection lost", lot)

    def stop(self) -> None:
        """Nothing more is asked."""
        self.standing, self.why = Standing.STOPPED, ""

    def _bound(self, response: Response, contact: NameAddr, now: float, lot: float) -> float:
        seconds = min(granted(response, contact, self._expires), LONGEST)
        if seconds <= 0:
            self.until = 0.0
            return self._lost("the trunk took our Contact away", lot)
        self.standing, self.why, self._failures = Standing.REGISTERED, "", 0
        self.until = now + seconds
        return max(seconds, SHORTEST) * REFRESH * (1 - JITTER / 2 * lot)

    def _follows(self, response: Response) -> bool:
        """RFC 3261 10.2.8: whether we ask for longer now; one that wants longer each time is a failure."""
        wanted = _number(response.headers.get("Min-Expires"))
        if not self._expires < wanted <= LONGEST:
            return False
        self._expires, self._has_followed = wanted, True
        return True

    def _lost(self, why: str, lot: float, retry_after: int = 0) -> float:
        self.standing, self.why = Standing.UNREACHABLE, why
        return max(self._pause(FIRST_PAUSE, LONGEST_PAUSE, lot), float(retry_after))

    def _refused(self, response: Response, lot: float) -> float:
        self.standing, self.why = Standing.REFUSED, f"{response.status} {_words(response)}"
        return max(self._pause(REFUSED_PAUSE, LONGEST_REFUSED, lot), float(_retry_after(response)))

    def _pause(self, first: float, longest: float, lot: float) -> float:
        doubled = min(first * float(1 << min(self._failures, 16)), longest)
        self._failures += 1
        return doubled * (1 - JITTER + 2 * JITTER * lot)


def granted(response: Response, contact: NameAddr, asked: int) -> int:
    """For how many seconds our Contact is bound by a 200 (RFC 3261 10.3 step 8); 0: it is not.

    Registrars rewrite the host of a Contact behind NAT, and some leave out what they bound: then Expires counts, or
    what was asked for.
    """
    try:
        contacts = response.contacts
    except SipError:
        contacts = ()
    ours = [c for c in contacts if _same(c.uri, contact.uri)] or [c for c in contacts if c.uri.user == contact.uri.user]
    if contacts and not ours:
        return 0
    written = ours[0].params.get("expires") if ours else None
    value = written if written else response.headers.get("Expires")
    return _number(value) if value is not None else asked


def _same(one: SipUri, other: SipUri) -> bool:
    return (one.user, one.host, one.port) == (other.user, other.host, other.port)


def _retry_after(response: Response) -> int:
    return min(retry_after(response) or 0, LONGEST_RETRY_AFTER)


def _number(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0


def _words(response: Response) -> str:
    return printable(response.reason)[:MAX_REASON]
