"""Who one claims to be, and what one dials: identity, registration, number spellings (RFC 3261 10, 22; RFC 3966)."""

from __future__ import annotations

from tests.attacks.table.case import AUTH_FAILED, ENDINGS, REJECTED, STREAMS, Case, Expect, message, refused
from tests.rig.gateway import REALM

NOT_FOR_TRUNKS = dict.fromkeys(("udp", *STREAMS), Expect(405))


def register(name: str, status: int, *, to: str = "alice", counter: str = REJECTED, **change: str | None) -> Case:
    data = message(
        "REGISTER",
        uri=f"sip:{REALM}",
        To=f"<sip:{to}@{REALM}>",
        Contact=change.pop("Contact", "<sip:x@browser.invalid;transport=ws>"),
        change=change,
    )
    return refused(name, data, status, counter, **NOT_FOR_TRUNKS)


REGISTRATIONS = [
    register("REGISTER for somebody else", 403, to="bob"),
    register("REGISTER for somebody else in escapes", 403, to="%62ob"),
    register("REGISTER for nobody", 403, to=""),
    register("REGISTER for root with a NUL", 403, to="alice%00"),
    register("REGISTER with two Contacts", 200, counter="", Contact="<sip:x@a>, <sip:x@b>"),
    register("REGISTER with eleven Contacts", 400, Contact=", ".join(f"<sip:x@a{n}>" for n in range(11))),
    register("REGISTER with a Contact nobody can call", 400, Contact="<mailto:x@a.test>"),
    register("REGISTER of all Contacts for an hour", 400, Contact="*"),
    register("REGISTER for a second", 423, Expires="1"),
    register("REGISTER for ever", 200, counter="", Expires="4294967295"),
    register("REGISTER with a lifetime that is none", 200, counter="", Expires="1e9"),
    register("REGISTER of all Contacts to be removed", 200, counter="", Contact="*", Expires="0"),
]
REGISTRATIONS[2] = refused(
    "REGISTER for nobody",
    message("REGISTER", uri=f"sip:{REALM}", To=f"<sip:{REALM}>"),
    403,
    REJECTED,
    **NOT_FOR_TRUNKS,
)


def credentials(name: str, value: str, counter: str) -> Case:
    """Looked at only where nobody is signed in yet."""
    data = message("REGISTER", uri=f"sip:{REALM}", extra=(f"Authorization: {value}",))
    return Case(name, data, Expect(401), counter=counter, without=("udp", *STREAMS, "wss"))


GUESS = (
    f'Digest username="alice", realm="{REALM}", nonce="x", uri="sip:{REALM}", '
    'response="0", qop=auth, nc=00000001, cnonce="c"'
)
DIGESTS = [
    credentials("Basic", "Basic YWxpY2U6cGFzc3dvcmQ=", ""),
    credentials("Bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", ""),
    credentials("a digest that is guessed", GUESS, AUTH_FAILED),
    credentials("a digest without qop", GUESS.replace("qop=auth, ", ""), AUTH_FAILED),
    credentials("a digest with auth-int", GUESS.replace("qop=auth", "qop=auth-int"), AUTH_FAILED),
    credentials("a digest of another algorithm", GUESS + ", algorithm=MD5-sess", AUTH_FAILED),
    credentials("a digest for another uri", GUESS.replace(f"sip:{REALM}", "sip:elsewhere.test"), AUTH_FAILED),
    credentials("a digest of an unknown user", GUESS.replace("alice", "nobody"), AUTH_FAILED),
    credentials("a digest of a user with SQL", GUESS.replace("alice", "' OR 1=1 --"), AUTH_FAILED),
    credentials("a digest with a nonce count of 0", GUESS.replace("nc=00000001", "nc=00000000"), AUTH_FAILED),
    credentials("a digest with a giant cnonce", GUESS.replace('"c"', f'"{"c" * 4000}"'), ""),
    credentials("a digest of 500 parameters", "Digest " + ", ".join(f"p{n}=1" for n in range(500)), ""),
    credentials("a digest that says all twice", f"{GUESS}, username=bob", ""),
    credentials("a digest of another realm", GUESS.replace(REALM, "other.test"), ""),
]


def call_as(name: str, from_: str, status: int = 403) -> Case:
    """Only a browser has a name to prove; a trunk may show any number, which nobody takes for an identity."""
    trunks = dict.fromkeys(("udp", *STREAMS), Expect(404))
    return refused(name, message(From=f"{from_};tag=1"), status, ENDINGS, **trunks)


SPOOFS = [
    call_as("From of another user", f"<sip:bob@{REALM}>"),
    call_as("From of another user with alice's display name", f'"alice" <sip:bob@{REALM}>'),
    call_as("From without a user", f"<sip:{REALM}>"),
    call_as("From with alice as password", f"<sip:bob:alice@{REALM}>"),
    call_as("From with a NUL behind alice", f"<sip:alice%00bob@{REALM}>"),
    call_as("From with a Cyrillic a", f"<sip:%d0%b0lice@{REALM}>"),
    call_as("From that is an e-mail address", "<mailto:alice@demo.test>"),
]


def dial(name: str, uri: str) -> Case:
    return refused(name, message(uri=uri), 404, ENDINGS)


DIALLED = [
    # 600 and 100 are routed, in one spelling each; nothing that merely resembles them is.
    dial("a phone-context in the user part", f"sip:600;phone-context=+1900@{REALM}"),
    dial("a phone-context in a tel URI", "tel:600;phone-context=+1900"),
    dial("a phone-context for a trunk", "tel:100;phone-context=evil.test"),
    dial("a second number behind a comma", f"sip:600,,1900@{REALM}"),
    dial("a pause", f"sip:600p1900@{REALM}"),
    dial("Arabic digits", f"sip:%D9%A6%D9%A0%D9%A0@{REALM}"),
    dial("full-width digits", f"sip:%EF%BC%96%EF%BC%90%EF%BC%90@{REALM}"),
    dial("superscript digits", f"sip:%C2%B9%C2%B2%C2%B3@{REALM}"),
    dial("an escaped plus", f"sip:%2B600@{REALM}"),
    dial("two plusses", f"sip:++600@{REALM}"),
    dial("a plus inside", f"sip:6+00@{REALM}"),
    dial("a NUL behind", f"sip:600%00@{REALM}"),
    dial("a line end behind", f"sip:600%0d%0aRoute:x@{REALM}"),
    dial("a twice escaped digit", f"sip:%2536%2530%2530@{REALM}"),
    dial("a host behind an escaped @", f"sip:600%40evil.test@{REALM}"),
    dial("65 digits", f"sip:{'6' * 65}@{REALM}"),
    dial("a premium number", f"sip:+19005551234@{REALM}"),
    dial("a premium number with 00", f"sip:0019005551234@{REALM}"),
    dial("a path", f"sip:..%2F..%2Fetc%2Fpasswd@{REALM}"),
    dial("a format string", f"sip:%25s%25n@{REALM}"),
    dial("a broken multi-octet letter", f"sip:%C3%28@{REALM}"),
]

CASES = [*REGISTRATIONS, *DIGESTS, *SPOOFS, *DIALLED]
