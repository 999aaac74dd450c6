"""A digest client for the tests: answers challenges, rightly or with chosen mistakes."""

from __future__ import annotations

import itertools

from gateway.base.values import Secret
from gateway.sip import auth
from gateway.sip.auth import AuthOutcome, Credentials, DigestServer, compute_ha1, compute_response
from gateway.sip.grammar import quote, split_top_level, unquote
from gateway.sip.message import Request
from tests.sip.samples import raw, request

REALM, USER, PASSWORD, FLOW = "pbx.example", "alice", "wonder land", 7
URI = "sip:pbx.example"


def credentials(user: str = USER, password: str = PASSWORD, realm: str = REALM) -> Credentials:
    md5, sha256 = (Secret(compute_ha1(user, realm, password, name)) for name in ("MD5", "SHA-256"))
    return Credentials(realm, md5, sha256)


def lookup(user: str) -> Credentials | None:
    return credentials() if user == USER else None


def server() -> DigestServer:
    numbers = itertools.count()
    return DigestServer(REALM, Secret(b"0123456789abcdef"), lambda length: f"{next(numbers):0{length}d}")


def parameters(challenge: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in split_top_level(challenge.removeprefix("Digest "), ","))
    return {name: unquote(value) for name, _, value in pairs}


def nonce_of(digest: DigestServer, now: float = 0.0, flow: int = FLOW) -> str:
    return parameters(digest.challenges(flow, now)[0])["nonce"]


def authorization(nonce: str, *, password: str = PASSWORD, method: str = "REGISTER", **changes: str) -> str:
    """An Authorization value; keyword arguments replace parameters, an empty one drops the parameter."""
    given = {
        "username": USER,
        "realm": REALM,
        "nonce": nonce,
        "uri": URI,
        "algorithm": "SHA-256",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "c0ffee",
    } | {name: value for name, value in changes.items() if name != "response"}
    algorithm = given["algorithm"] if given["algorithm"] in auth.ALGORITHMS else "MD5"
    ha1 = compute_ha1(given["username"], given["realm"], password, algorithm)
    right = compute_response(ha1, method, given["uri"], nonce, given["nc"], given["cnonce"], algorithm)
    given["response"] = changes.get("response", right)
    bare = ("algorithm", "qop", "nc")
    return "Digest " + ", ".join(
        f"{name}={value if name in bare else quote(value)}" for name, value in given.items() if value
    )


def register(value: str = "", *, uri: str = URI, header: str = "Authorization", method: str = "REGISTER") -> Request:
    message = request(raw(f"{method} {uri} SIP/2.0", CSeq=f"1 {method}"))
    if value:
        message = message.with_added([(header, value)])
    return message


def verify(digest: DigestServer, message: Request, now: float = 1.0, flow: int = FLOW) -> AuthOutcome:
    return digest.verify(message, flow, lookup, now)
