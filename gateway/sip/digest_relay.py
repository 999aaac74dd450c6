"""What of digest authentication passes between a browser and its registrar, and what does not (RFC 7616, RFC 8760).

A challenge and its answer pass as they came. Two things are changed or held back: of several qualities of protection
only `auth` is left in a challenge, because the bodies of calls are rewritten; and credentials pass only where the
challenge they answer was given to that very connection, so that those of somebody else are worth nothing here. PURE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.sip.auth import DigestAnswer
from gateway.sip.grammar import LWS, is_token, printable, same_word, split_top_level, unquote
from gateway.sip.message import Request, Response

ALGORITHMS = frozenset(("MD5", "MD5-SESS", "SHA-256", "SHA-256-SESS", "SHA-512-256", "SHA-512-256-SESS"))
"""What a challenge may ask for (RFC 7616 3.3). What of these a browser's library knows is that library's business."""
CHALLENGES = ("WWW-Authenticate", "Proxy-Authenticate")
CREDENTIALS = ("Authorization", "Proxy-Authorization")
MAX_FIELDS = 8
"""Challenges or credentials of one message that are looked at: two algorithms for each of four realms."""
MAX_LENGTH = 2048
"""Characters of one of them; nonces of Kamailio and Asterisk have under a hundred."""
MAX_PARAMS = 32
MAX_CLAIMED = 64
"""Characters kept of a user name that is only claimed."""
QOP = "auth"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge that may pass."""

    name: str
    """Of its header field."""
    text: str
    """As the browser gets it."""
    nonce: str
    stale: bool
    """The password was right, or was not looked at, and the nonce is too old."""


@dataclass(frozen=True, slots=True)
class Given:
    """Credentials of one request that may pass."""

    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    """Whose password they claim to know, "" without credentials."""
    held_back: str = ""
    """Why some do not pass."""


def challenges(response: Response, realm: str) -> tuple[Challenge, ...]:
    """The challenges of a 401 or 407 that may pass, in the order of the registrar, which is that of its preference.

    Args:
        realm: the only one that may ask; empty: any.
    """
    found = (
        _challenge(name, text, realm)
        for name in CHALLENGES
        for text in response.headers.get_all(name)[:MAX_FIELDS]
        if len(text) <= MAX_LENGTH
    )
    return tuple(challenge for challenge in found if challenge is not None)


def _challenge(name: str, text: str, realm: str) -> Challenge | None:
    """None for another scheme or realm, an algorithm we do not know, and protection that covers what we rewrite."""
    parts = _parts(text)
    found = {key: value for key, _, value in parts}
    algorithm = found.get("algorithm", "MD5").upper()
    if not found.get("nonce") or algorithm not in ALGORITHMS or (realm and found.get("realm") != realm):
        return None
    qualities = [word.strip(LWS).lower() for word in found.get("qop", "").split(",")]
    if QOP not in qualities:  # one without any is of a server older than RFC 3261, which wants it (22.4 item 8)
        return None
    if len(qualities) > 1:
        told = (f'qop="{QOP}"' if key == "qop" else written for key, written, _ in parts)
        text = f"Digest {', '.join(told)}"
    return Challenge(name, text, found["nonce"], found.get("stale", "").lower() == "true")


def credentials(request: Request, is_known: Callable[[DigestAnswer], bool]) -> Given:
    """The credentials of a request that may pass: those of one user name, once for each field, realm and algorithm.

    A registrar takes whichever of several it likes. A guess must not pass under the name of another one, which would be
    counted and recorded in its place, nor several as one.

    Args:
        is_known: whether they answer a challenge that this connection was given, or name who it is known to be.
    """
    passing: dict[tuple[str, str, str], tuple[str, str]] = {}
    username = why = ""
    for name in CREDENTIALS:
        for text in request.headers.get_all(name)[:MAX_FIELDS]:
            answer, problem = _answer(text, request)
            if answer is None or not is_known(answer):
                why = problem or "the challenge was not given to this connection"
                continue
            asked = (name, answer.realm, answer.algorithm.upper() or "MD5")
            if asked in passing or answer.username != (username or answer.username):
                why = "several credentials where one is enough"
                continue
            passing[asked] = (name, text)
            username = answer.username
    return Given(tuple(passing.values()), username, why)


def claimed(username: str) -> str:
    """A user name as it is counted and recorded: printable, and cut."""
    return printable(username)[:MAX_CLAIMED]


def _answer(text: str, request: Request) -> tuple[DigestAnswer | None, str]:
    try:
        answer = DigestAnswer.parse(text) if len(text) <= MAX_LENGTH else None
    except SipError:
        answer = None
    if answer is None:
        return None, "no digest that can be read"
    if answer.qop.lower() != QOP:
        return None, "qop is not auth"
    if answer.uri != request.uri:
        return None, "digest URI is not the request URI"
    if not (answer.count and answer.cnonce and answer.username and answer.nonce):
        return None, "incomplete credentials"
    return answer, ""


def _parts(text: str) -> list[tuple[str, str, str]]:
    """The parameters of a digest challenge: name, how it was written, value. None of another scheme, or malformed."""
    scheme, _, rest = text.strip(LWS).replace("\t", " ").partition(" ")
    if not same_word(scheme, "digest"):
        return []
    try:
        return _read(split_top_level(rest, ","))
    except SipError:
        return []


def _read(parts: Iterable[str]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    seen: set[str] = set()
    for part in parts:
        name, equals, value = part.partition("=")
        key, value = name.strip(LWS).lower(), value.strip(LWS)
        if not equals or not is_token(key) or key in seen or len(seen) >= MAX_PARAMS:
            raise SipError("Bad digest parameter")
        seen.add(key)
        found.append((key, part.strip(LWS), unquote(value)))
    return found


def next_nonce(response: Response) -> str:
    """The nonce the registrar wants to see next (RFC 7616 3.5), "" when it says none."""
    text = response.headers.get("Authentication-Info") or ""
    if not text or len(text) > MAX_LENGTH:
        return ""
    return {key: value for key, _, value in _parts(f"Digest {text}")}.get("nextnonce", "")
