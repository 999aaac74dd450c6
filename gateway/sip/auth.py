"""Digest authentication of requests (RFC 3261 22, RFC 7616, RFC 8760), server side.

A nonce is HMAC(key, time, flow, random): it costs no memory until somebody proves a password with it, and it is
worth nothing on another connection. After that its counts are remembered, so that no header is good twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.base.errors import SipError
from gateway.base.values import Secret, TokenSource
from gateway.sip.grammar import HEX_DIGITS, LWS, is_token, printable, quote, same_word, split_top_level, unquote
from gateway.sip.message import Request
from gateway.sip.uri import SipUri

ALGORITHMS: dict[str, str] = {"SHA-256": "sha256", "MD5": "md5"}
"""Algorithm names with those of hashlib, in the order they are offered: browsers' stacks keep the last one, MD5."""

NONCE_LIFE = 300.0
"""Seconds a nonce may be used."""
MAX_NONCES = 4096
"""Nonces with a proven password that are remembered; the oldest ones become stale first."""
NONCE_COUNT_WINDOW = 64
"""Nonce counts that may arrive out of order, because datagrams overtake each other."""
MAX_CREDENTIALS = 8
"""Authorization header fields of one request that are looked at."""
MAX_DIGEST_PARAMS = 32
MAX_DIGEST_VALUE = 512
MAX_CLAIMED = 64
TIME_DIGITS, RANDOM_CHARS, MAC_DIGITS = 12, 16, 32


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is stored of a user: hashes that hold in one realm only (RFC 7616 3.4.2)."""

    realm: str
    ha1_md5: Secret[str]
    ha1_sha256: Secret[str]

    def ha1(self, algorithm: str) -> str:
        """The stored hash for that algorithm."""
        return (self.ha1_sha256 if algorithm == "SHA-256" else self.ha1_md5).reveal()


@dataclass(frozen=True, slots=True)
class AuthOutcome:
    """Who sent a request, or why that is not known."""

    user: str | None
    """The proven user name; None means: answer with a challenge."""
    stale: bool
    """The password was right but the nonce is used up: the challenge says so and nobody is asked for a password."""
    reason: str
    """Fixed words for counters and the audit record, "" on success."""
    claimed: str = ""
    """The user name of refused credentials, shortened and printable; proves nothing."""
    refused: bool = False
    """The credentials were not looked at: whoever sent them has to wait."""


def digest_hash(algorithm: str, text: str) -> str:
    """H() of RFC 7616 3.3 in hexadecimal digits; octets that were not UTF-8 on the wire are hashed as they came."""
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.new(ALGORITHMS[algorithm], data, usedforsecurity=False).hexdigest()


def compute_ha1(user: str, realm: str, password: str, algorithm: str) -> str:
    """H(A1), the hash that is stored in place of the password (RFC 7616 3.4.2)."""
    return digest_hash(algorithm, f"{user}:{realm}:{password}")


def compute_response(ha1: str, method: str, uri: str, nonce: str, nc: str, cnonce: str, algorithm: str) -> str:
    """The `response` parameter for qop=auth (RFC 7616 3.4.1)."""
    ha2 = digest_hash(algorithm, f"{method}:{uri}")
    return digest_hash(algorithm, f"{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}")


@dataclass(frozen=True, slots=True)
class DigestAnswer:
    """The parameters of one Authorization header field with scheme Digest (RFC 7616 3.4)."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    qop: str
    nc: str
    cnonce: str

    @classmethod
    def parse(cls, text: str) -> DigestAnswer | None:
        """Read a header value; None for another scheme, `SipError` for a Digest that is malformed."""
        scheme, _, rest = text.strip(LWS).replace("\t", " ").partition(" ")
        if not same_word(scheme, "digest"):
            return None
        found = digest_params(rest)
        names = ("username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce")
        return cls(*(found.get(name, "") for name in names))

    @property
    def hash_name(self) -> str:
        """The algorithm as in `ALGORITHMS`, "" when it is none of them; absent means MD5 (RFC 7616 3.3)."""
        name = (self.algorithm or "MD5").upper()
        return name if name in ALGORITHMS else ""

    @property
    def count(self) -> int:
        """The nonce count, 0 when it is not eight hexadecimal digits."""
        return int(self.nc, 16) if len(self.nc) == 8 and HEX_DIGITS.issuperset(self.nc) else 0


def digest_params(text: str) -> dict[str, str]:
    """The parameters of a challenge or of credentials, by name, without their quotes.

    Raises:
        SipError: they are too many, too long, repeated, or no parameters.
    """
    parts = split_top_level(text, ",")
    if len(parts) > MAX_DIGEST_PARAMS:
        raise SipError("Too many digest parameters")
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.strip(LWS), value.strip(LWS)
        if not equals or not is_token(name) or name.lower() in found or len(value) > MAX_DIGEST_VALUE:
            raise SipError("Bad digest parameter")
        found[name.lower()] = unquote(value)
    return found


class _NonceUse:
    """Which counts of a nonce were seen: the highest, and a bit mask of those below it."""

    __slots__ = ("highest", "issued", "seen")

    def __init__(self, issued: float) -> None:
        self.issued = issued
        self.highest = 0
        self.seen = 0

    def accept(self, count: int) -> bool:
        """True once for every count; False for a repeated one and for those too far behind."""
        if count > self.highest:
            shift = min(count - self.highest, NONCE_COUNT_WINDOW)
            self.seen = (self.seen << shift | 1) & ((1 << NONCE_COUNT_WINDOW) - 1)
            self.highest = count
            return True
        bit = 1 << (self.highest - count)
        if self.highest - count >= NONCE_COUNT_WINDOW or self.seen & bit:
            return False
        self.seen |= bit
        return True


class DigestServer:
    """Issues challenges for one realm and checks the answers.

    Args:
        realm: protection space, the same for all users.
        key: random octets, new with every start of the process.
        tokens: source of the random part of nonces.
    """

    def __init__(self, realm: str, key: Secret[bytes], tokens: TokenSource) -> None:
        self._realm = realm
        self._key = key
        self._tokens = tokens
        self._used: dict[str, _NonceUse] = {}
        self._floor = float("-inf")
        # An unknown user is checked against this, so that the answer takes as long as for a wrong password.
        decoy = Secret(hmac.digest(key.reveal(), b"unknown user", "sha256").hex())
        self._decoy = Credentials(realm, decoy, decoy)

    def challenges(self, flow_id: int, now: float, *, stale: bool = False) -> tuple[str, str]:
        """The two WWW-Authenticate values of a 401, strongest first (RFC 8760 2.4)."""
        nonce = self._nonce(flow_id, now)
        mark = ", stale=true" if stale else ""
        first, last = (
            f'Digest realm={quote(self._realm)}, nonce="{nonce}", algorithm={name}, qop="auth"{mark}'
            for name in ALGORITHMS
        )
        return first, last

    def verify(
        self,
        request: Request,
        flow_id: int,
        lookup: Callable[[str], Credentials | None],
        now: float,
        *,
        may_try: Callable[[str], bool] = lambda _claimed: True,
    ) -> AuthOutcome:
        """Check the credentials of a request from Authorization and Proxy-Authorization.

        Args:
            lookup: gives the stored hashes of a user name, None for an unknown one.
            may_try: whether credentials that claim this name are looked at now; whether there is such a user must not
                matter to it.
        """
        try:
            answer = self._own_answer(request)
        except SipError:
            return AuthOutcome(None, False, "malformed credentials")
        if answer is None:
            return AuthOutcome(None, False, "no credentials")
        claimed = printable(answer.username)[:MAX_CLAIMED]
        if not may_try(claimed):
            return AuthOutcome(None, False, "too many failures", claimed, refused=True)
        problem = _problem(answer, request)
        if problem:
            return AuthOutcome(None, False, problem, claimed)
        if not self._proves(answer, request, lookup):
            return AuthOutcome(None, False, "wrong user or password", claimed)
        if not self._spend(answer, flow_id, now):
            return AuthOutcome(None, True, "nonce expired, foreign or used", claimed)
        return AuthOutcome(answer.username, False, "")

    def is_answered(self, request: Request) -> bool:
        """Whether the request carries credentials for this realm, or what cannot be read as such."""
        try:
            return self._own_answer(request) is not None
        except SipError:
            return True

    def has_asked(self, request: Request, flow_id: int) -> bool:
        """Whether its credentials answer a challenge that was sent over this flow, however long ago."""
        try:
            answer = self._own_answer(request)
        except SipError:
            return False
        return answer is not None and self._issued(answer.nonce, flow_id) is not None

    def _own_answer(self, request: Request) -> DigestAnswer | None:
        """The first credentials for this realm; those for other realms are somebody else's (RFC 3261 22.3)."""
        values = request.headers.get_all("Authorization") + request.headers.get_all("Proxy-Authorization")
        for value in values[:MAX_CREDENTIALS]:
            answer = DigestAnswer.parse(value)
            if answer is not None and answer.realm == self._realm:
                return answer
        return None

    def _proves(self, answer: DigestAnswer, request: Request, lookup: Callable[[str], Credentials | None]) -> bool:
        found = lookup(answer.username)
        usable = found if found is not None and found.realm == self._realm else None
        credentials = usable or self._decoy
        expected = compute_response(
            credentials.ha1(answer.hash_name),
            request.method,
            answer.uri,
            answer.nonce,
            answer.nc,
            answer.cnonce,
            answer.hash_name,
        )
        matches = hmac.compare_digest(expected.encode(), answer.response.lower().encode("utf-8", "surrogateescape"))
        return matches and usable is not None

    def _spend(self, answer: DigestAnswer, flow_id: int, now: float) -> bool:
        """True when the nonce is ours, of this flow, alive, and this count of it is new."""
        issued = self._issued(answer.nonce, flow_id)
        if issued is None or now - issued > NONCE_LIFE:
            return False
        use = self._used.get(answer.nonce)
        if use is None:
            if issued <= self._floor:
                return False
            use = self._remember(answer.nonce, issued, now)
        return use.accept(answer.count)

    def _remember(self, nonce: str, issued: float, now: float) -> _NonceUse:
        if len(self._used) >= MAX_NONCES:
            self._forget(now)
        use = self._used[nonce] = _NonceUse(issued)
        return use

    def _forget(self, now: float) -> None:
        """Make room. A nonce forgotten alive must not count from zero again: the floor keeps it refused."""
        alive = {nonce: use for nonce, use in self._used.items() if now - use.issued <= NONCE_LIFE}
        by_age = sorted(alive, key=lambda nonce: alive[nonce].issued)
        for nonce in by_age[: max(0, len(alive) - MAX_NONCES // 2)]:
            self._floor = max(self._floor, alive.pop(nonce).issued)
        self._used = alive

    def _nonce(self, flow_id: int, now: float) -> str:
        stamp = f"{int(now * 1000):0{TIME_DIGITS}x}{self._tokens(RANDOM_CHARS)}"
        return stamp + self._mac(stamp, flow_id)

    def _mac(self, stamp: str, flow_id: int) -> str:
        return hmac.digest(self._key.reveal(), f"{flow_id}:{stamp}".encode(), "sha256").hex()[:MAC_DIGITS]

    def _issued(self, nonce: str, flow_id: int) -> float | None:
        """When a nonce was issued to this flow; None when it never was."""
        if len(nonce) != TIME_DIGITS + RANDOM_CHARS + MAC_DIGITS or not nonce.isascii():
            return None
        stamp, mac = nonce[:-MAC_DIGITS], nonce[-MAC_DIGITS:]
        if not hmac.compare_digest(self._mac(stamp, flow_id), mac):
            return None
        return int(stamp[:TIME_DIGITS], 16) / 1000


def _problem(answer: DigestAnswer, request: Request) -> str:
    """What rules the answer out before any hash is computed, "" when nothing does."""
    if answer.qop.lower() != "auth":
        return "qop is not auth"
    if not answer.hash_name:
        return "unknown algorithm"
    if not answer.count or not answer.cnonce or not answer.username:
        return "incomplete credentials"
    if not _same_uri(answer.uri, request.uri):
        return "digest URI is not the request URI"
    return ""


def _same_uri(left: str, right: str) -> bool:
    """Equal as text, or the same user, host, port and parameters in another spelling of the host (RFC 7616 3.4.6)."""
    if left == right:
        return True
    try:
        one, two = SipUri.parse(left), SipUri.parse(right)
    except SipError:
        return False
    return replace(one, host=one.host.lower()) == replace(two, host=two.host.lower())
