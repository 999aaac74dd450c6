"""A registrar by the letter of RFC 3261 and RFC 7616 that takes nothing for granted. Pure: requests in, responses out.

Its challenges hold for one Call-ID, From tag and request URI, each count of a nonce is good once, and it asks for every
REGISTER and INVITE.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.sip.address import NameAddr
from gateway.sip.auth import ALGORITHMS, compute_ha1, compute_response
from gateway.sip.grammar import quote, split_top_level, unquote
from gateway.sip.message import Request, Response, create_response

CHALLENGE_FIELDS = {"REGISTER": (401, "WWW-Authenticate", "Authorization")}
PROXY_FIELDS = (407, "Proxy-Authenticate", "Proxy-Authorization")


@dataclass
class Issued:
    """A nonce, and what it holds for."""

    call_id: str
    from_tag: str
    uri: str
    count: int = 0


@dataclass
class Listed:
    """One binding."""

    contact: NameAddr
    expires: int
    path: str
    call_id: str
    sequence: int


@dataclass
class StrictRegistrar:
    """The registrar of one domain.

    Args:
        realm: domain and digest realm.
        passwords: by user.
    """

    realm: str
    passwords: dict[str, str]
    algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    qop: str = "auth,auth-int"
    keeps_path: bool = False
    """It supports Path (RFC 3327); else it ignores it."""
    least: int = 60
    once: bool = True
    """Each count of a nonce is good once (RFC 7616 3.4)."""
    asks: bool = True
    """It asks for passwords; else it believes everybody."""
    refuses: dict[str, int] = field(default_factory=dict)
    """Users it refuses with a status, before it asks for anything."""
    seen: list[Request] = field(default_factory=list)
    bindings: dict[str, dict[str, Listed]] = field(default_factory=dict)
    """By user, then by the URI of the Contact."""
    nonces: dict[str, Issued] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def answer(self, request: Request) -> Response:
        """What it says to a REGISTER, or to an INVITE before it goes anywhere: 401 or 407, or 200."""
        self.seen.append(request)
        user = request.to.uri.user_decoded if request.method == "REGISTER" else request.from_.uri.user_decoded
        if user in self.refuses:
            return self._say(request, self.refuses[user])
        verdict = self.judge(request, user) if self.asks else "right"
        if verdict != "right":
            return self.challenge(request, stale=verdict == "stale")
        return self._register(request, user) if request.method == "REGISTER" else self._say(request, 200)

    def challenge(self, request: Request, *, stale: bool = False) -> Response:
        """A fresh nonce for this request, one challenge for each algorithm."""
        status, name, _ = CHALLENGE_FIELDS.get(request.method, PROXY_FIELDS)
        nonce = f"nonce{next(self._numbers):08d}"
        self.nonces[nonce] = Issued(request.call_id, request.from_.tag or "", request.uri)
        mark = ", stale=TRUE" if stale else ""
        challenges = (
            f'Digest realm="{self.realm}", nonce="{nonce}", algorithm={algorithm}, qop="{self.qop}", opaque="o"{mark}'
            for algorithm in self.algorithms
        )
        return self._say(request, status, [(name, challenge) for challenge in challenges])

    def judge(self, request: Request, user: str) -> str:
        """Whether the credentials of a request are `right`, `wrong`, `stale` or `none`."""
        _, _, name = CHALLENGE_FIELDS.get(request.method, PROXY_FIELDS)
        texts = request.headers.get_all(name)
        if not texts:
            return "none"
        given = parameters(texts[0])
        if given.get("username") != user or given.get("uri") != request.uri or given.get("qop") != "auth":
            return "wrong"
        algorithm = given.get("algorithm", "MD5")
        if algorithm not in ALGORITHMS or algorithm not in self.algorithms or user not in self.passwords:
            return "wrong"
        ha1 = compute_ha1(user, self.realm, self.passwords[user], algorithm)
        right = compute_response(
            ha1, request.method, given["uri"], given["nonce"], given["nc"], given["cnonce"], algorithm
        )
        if given.get("response") != right:
            return "wrong"
        return "right" if self._spend(request, given) else "stale"

    def _spend(self, request: Request, given: dict[str, str]) -> bool:
        issued = self.nonces.get(given["nonce"])
        bound = (request.call_id, request.from_.tag or "", request.uri)
        if issued is None or (issued.call_id, issued.from_tag, issued.uri) != bound:
            return False
        count = int(given["nc"], 16)
        if self.once and count <= issued.count:
            return False
        issued.count = count
        return True

    def _register(self, request: Request, user: str) -> Response:
        bound = self.bindings.setdefault(user, {})
        if request.contact_star:
            bound.clear()
            return self._list(request, user)
        for contact in request.contacts:
            asked = contact.params.get("expires") or request.headers.get("Expires") or "3600"
            expires, uri = int(asked), str(contact.uri)
            if 0 < expires < self.least:
                return self._say(request, 423, [("Min-Expires", str(self.least))])
            known = bound.get(uri)
            if known and known.call_id == request.call_id and request.cseq.number <= known.sequence:
                return self._say(request, 500)
            path = request.headers.get("Path") or ""
            bound[uri] = Listed(contact, expires, path, request.call_id, request.cseq.number)
            if not expires:
                del bound[uri]
        return self._list(request, user)

    def _list(self, request: Request, user: str) -> Response:
        headers = [
            ("Contact", str(NameAddr("", one.contact.uri, one.contact.params.with_("expires", str(one.expires)))))
            for one in self.bindings[user].values()
        ]
        if self.keeps_path and (path := request.headers.get("Path")):
            headers.append(("Path", path))
        return self._say(request, 200, headers)

    def _say(self, request: Request, status: int, headers: Iterable[tuple[str, str]] = ()) -> Response:
        own = (("Server", "strict on 10.0.0.7"), ("Warning", '399 10.0.0.7 "inside"'))
        return create_response(request, status, to_tag=f"strict{next(self._numbers)}", headers=[*headers, *own])


def parameters(text: str) -> dict[str, str]:
    """Of a challenge or of credentials, by name."""
    pairs = (part.strip().partition("=") for part in split_top_level(text.partition(" ")[2], ","))
    return {name.lower(): unquote(value) for name, _, value in pairs}


def prove(
    challenges: list[str], user: str, password: str, method: str, uri: str, *, count: int = 1, strongest: bool = False
) -> str:
    """Credentials for the last challenge, as JsSIP takes it, or for the first one."""
    given = parameters(challenges[0] if strongest else challenges[-1])
    algorithm, nc, cnonce = given.get("algorithm", "MD5"), f"{count:08x}", "c0ffee"
    ha1 = compute_ha1(user, given["realm"], password, algorithm)
    fields = {
        "username": user,
        "realm": given["realm"],
        "nonce": given["nonce"],
        "uri": uri,
        "response": compute_response(ha1, method, uri, given["nonce"], nc, cnonce, algorithm),
        "cnonce": cnonce,
        "opaque": given.get("opaque", ""),
    }
    quoted = ", ".join(f"{name}={quote(value)}" for name, value in fields.items())
    return f"Digest {quoted}, algorithm={algorithm}, qop=auth, nc={nc}"
