"""Digest authentication of our requests (RFC 3261 22, RFC 7616, RFC 8760), client side.

A challenge is read, the strongest of those that can be answered is chosen for each realm, and the credentials for one
request are made. Nothing is kept: a nonce is used with the request it was issued for, and again, counted on, when that
request is sent once more because somebody else on its way asks too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.base.values import Secret, TokenSource
from gateway.sip.auth import digest_params
from gateway.sip.grammar import LWS, quote, same_word
from gateway.sip.message import Request, Response

HASHES: dict[str, str] = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
"""Algorithms of RFC 7616 3.2 with their names in hashlib, the strongest first: a list that was tampered with on its way
must not talk us into the weakest one (RFC 8760 2.4 leaves the choice to local policy)."""
SESSION = "-SESS"
"""Variants that hash nonces into the secret (RFC 7616 3.4.2)."""
FIELDS: dict[int, tuple[str, str]] = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
"""Status -> where the challenge stands, where its answer goes (RFC 3261 22.2, 22.3)."""
MAX_CHALLENGES = 8
"""Challenges of one response that are looked at."""
CNONCE_LENGTH = 24
FIRST_COUNT = "00000001"


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a peer that asks."""

    user: str
    password: Secret[str]
    realm: str = ""
    """The only realm the password is for; empty: whichever the peer names."""
    peer: str = ""
    """The trunk it is for, which may ask over a connection of its own too if it proved its name there; empty: only
    over one we opened."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge that can be answered (RFC 7616 3.3)."""

    realm: str
    nonce: str
    algorithm: str
    """As it was written, "" when it was not."""
    opaque: str | None
    has_qop: bool
    """False: an RFC 2069 server, which knows no `qop`."""
    stale: bool

    @property
    def hash_name(self) -> str:
        """The algorithm without its variant, as in `HASHES`."""
        return (self.algorithm or "MD5").upper().removesuffix(SESSION)

    @classmethod
    def parse(cls, text: str) -> Challenge | None:
        """Read a header value; None for what we cannot answer: another scheme, algorithm or quality of protection."""
        scheme, _, rest = text.strip(LWS).replace("\t", " ").partition(" ")
        if not same_word(scheme, "digest"):
            return None
        try:
            found = digest_params(rest)
        except SipError:
            return None
        qops = {word.strip(LWS).lower() for word in found.get("qop", "").split(",")} - {""}
        challenge = cls(
            realm=found.get("realm", ""),
            nonce=found.get("nonce", ""),
            algorithm=found.get("algorithm", ""),
            opaque=found.get("opaque"),
            has_qop=bool(qops),
            stale=found.get("stale", "").lower() == "true",
        )
        usable = challenge.hash_name in HASHES and challenge.nonce and (not qops or "auth" in qops)
        return challenge if usable else None


def challenges(response: Response, login: Login) -> list[Challenge]:
    """Those of a 401 or 407 that this login can answer, the strongest of each realm."""
    name = FIELDS[response.status][0]
    found: dict[str, Challenge] = {}
    for text in response.headers.get_all(name)[:MAX_CHALLENGES]:
        challenge = Challenge.parse(text)
        if challenge is None or (login.realm and challenge.realm != login.realm):
            continue
        best = found.get(challenge.realm)
        if best is None or _rank(challenge) < _rank(best):
            found[challenge.realm] = challenge
    return list(found.values())


def credentials(response: Response, request: Request, login: Login, tokens: TokenSource) -> tuple[tuple[str, str], ...]:
    """The header fields that answer a 401 or 407 to this request; none when it cannot be answered."""
    name = FIELDS[response.status][1]
    found = challenges(response, login)
    return tuple((name, _answer(challenge, request, login, tokens(CNONCE_LENGTH))) for challenge in found)


def counted_on(text: str, request: Request, login: Login) -> str:
    """Credentials of ours for a request that is sent once more: the same nonce, under its next count, for each count is
    good once (RFC 7616 3.4). Those of an RFC 2069 server know no count and stay as they are.
    """
    said = digest_params(text.partition(" ")[2])
    if "nc" not in said:
        return text
    challenge = Challenge(said["realm"], said["nonce"], said.get("algorithm", ""), said.get("opaque"), True, False)
    return _answer(challenge, request, login, said["cnonce"], f"{int(said['nc'], 16) + 1:08x}")


def is_stale(response: Response, login: Login) -> bool:
    """Whether only the nonce was too old: the password is not in doubt (RFC 7616 3.3)."""
    return any(challenge.stale for challenge in challenges(response, login))


def _rank(challenge: Challenge) -> int:
    return list(HASHES).index(challenge.hash_name)


def _answer(challenge: Challenge, request: Request, login: Login, cnonce: str, count: str = FIRST_COUNT) -> str:
    digest, is_session = _hasher(challenge), challenge.algorithm.upper().endswith(SESSION)
    secret = digest(f"{login.user}:{challenge.realm}:{login.password.reveal()}")
    if is_session:
        secret = digest(f"{secret}:{challenge.nonce}:{cnonce}")
    action = digest(f"{request.method}:{request.uri}")
    used = f"{challenge.nonce}:{count}:{cnonce}:auth" if challenge.has_qop else challenge.nonce
    fields = [
        f"username={quote(login.user)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(request.uri)}",
        f'response="{digest(f"{secret}:{used}:{action}")}"',
    ]
    if challenge.algorithm:
        fields.append(f"algorithm={challenge.algorithm}")
    if challenge.has_qop:
        fields += ["qop=auth", f"nc={count}"]
    if challenge.has_qop or is_session:  # what is hashed into the secret must be told, whatever else is not
        fields.append(f"cnonce={quote(cnonce)}")
    if challenge.opaque is not None:
        fields.append(f"opaque={quote(challenge.opaque)}")
    return "Digest " + ", ".join(fields)


def _hasher(challenge: Challenge) -> Callable[[str], str]:
    name = HASHES[challenge.hash_name]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()

    return digest
