"""Request lines and header fields (RFC 3261 7.1, 8.1.1, 8.2, 20; RFC 4475)."""

from __future__ import annotations

from tests.attacks.table.case import (
    REJECTED,
    UNMATCHED,
    Case,
    Expect,
    good,
    malformed,
    message,
    refused,
    unanswerable,
)
from tests.rig.gateway import REALM

LINE = f"INVITE sip:404404@{REALM}"

START_LINES = [
    malformed("version 3.0", message(start=f"{LINE} SIP/3.0"), 505),
    malformed("version 7.0", message(start=f"{LINE} SIP/7.0"), 505),
    malformed("version with 100 digits", message(start=f"{LINE} SIP/{'9' * 100}"), 505),
    unanswerable("version of another protocol", message(start=f"{LINE} HTTP/1.1")),
    good("version in lower case", message(start=f"{LINE} sip/2.0")),
    malformed("blank behind the version", message(start=f"{LINE} SIP/2.0 ")),
    malformed("two blanks", message(start=f"INVITE  sip:404404@{REALM} SIP/2.0")),
    malformed("no URI", message(start="INVITE SIP/2.0")),
    malformed("blank inside the URI", message(start=f"INVITE sip:404404@{REALM}; lr SIP/2.0")),
    refused("URI in brackets", message(start=f"INVITE <sip:404404@{REALM}> SIP/2.0"), 400, REJECTED),
    refused("URI with headers", message(uri=f"sip:404404@{REALM}?Route=%3Csip:x.test%3E"), 400, REJECTED),
    refused("URI with a smuggled header", message(uri=f"sip:404404@{REALM}?X=%0d%0aRoute:x"), 400, REJECTED),
    refused("URI with two @", message(uri="sip:404404@a@b", To="<sip:a@b>"), 400, REJECTED),
    refused("URI with a broken escape", message(uri=f"sip:404404%zz@{REALM}", To="<sip:a@b>"), 400, REJECTED),
    refused("URI without a host", message(uri="sip:", To="<sip:a@b>"), 400, REJECTED),
    refused("URI with port 65536", message(uri=f"sip:404404@{REALM}:65536", To="<sip:a@b>"), 400, REJECTED),
    refused("unknown scheme", message(uri="nobodyKnowsThisScheme:totallyopaquecontent"), 416, REJECTED),
    refused("scheme http", message(uri="http://169.254.169.254/latest"), 416, REJECTED),
    refused("unknown scheme in OPTIONS", message("OPTIONS", uri="soap.beep://192.0.2.103:3002"), 416, REJECTED),
    refused("unknown method", message("NEWMETHOD"), 405, REJECTED),
    refused("method of 1000 letters", message("M" * 1000), 405, REJECTED),
    refused("method in lower case is another method", message("invite"), 405, REJECTED),
    unanswerable("method with a bracket", message(start=f"IN{{VITE sip:404404@{REALM} SIP/2.0")),
    malformed("CSeq of another method", message(CSeq="1 OPTIONS")),
]

REQUIRED = [
    unanswerable("no Via", message(change={"Via": None})),
    *(malformed(f"no {name}", message(change={name: None})) for name in ("From", "To", "Call-ID", "CSeq")),
    *(
        malformed(f"two {name}", message(extra=(f"{name}: {value}",)))
        for name, value in (("From", "<sip:x@y>;tag=2"), ("To", "<sip:x@y>"), ("Call-ID", "2"), ("CSeq", "2 INVITE"))
    ),
    malformed("From and its compact form", message(extra=("f: <sip:x@y>;tag=2",))),
    good("two Max-Forwards", message(extra=("Max-Forwards: 70",))),
    good("two Content-Types", message(extra=("Content-Type: application/sdp", "c: text/plain"))),
    good("two User-Agents", message(extra=("User-Agent: a", "User-Agent: b"))),
    malformed("empty Call-ID", message(change={"Call-ID": ""})),
    malformed("Call-ID with a blank", message(change={"Call-ID": "a b"})),
    malformed("CSeq above 2**31", message(CSeq="4294967296 INVITE")),
    malformed("CSeq negative", message(CSeq="-1 INVITE")),
    malformed("CSeq without a number", message(CSeq="INVITE")),
    malformed("Via of another version", message(Via="SIP/3.0/UDP a;branch={branch};rport")),
    malformed("Via without a host", message(Via="SIP/2.0/UDP ;branch={branch};rport")),
    malformed("Via port above 65535", message(Via="SIP/2.0/UDP a:99999;branch={branch};rport")),
    good("Via without a branch", message(Via="{via};rport")),
    good("Via branch without the cookie", message(Via="{via};branch=1;rport")),
    good("Via branch that is the cookie only", message(Via="{via};branch=z9hG4bK;rport")),
    malformed("empty value among the Vias", message(Via="{via};branch={branch};rport,, SIP/2.0/UDP b;branch=z9hG4bKx")),
    good("Via that lies about its host", message(Via="SIP/2.0/{transport} 203.0.113.9:9;branch={branch};rport")),
]

NUMBERS = [
    refused("Max-Forwards 0", message(change={"Max-Forwards": "0"}), 483, REJECTED),
    refused("Max-Forwards 0 in OPTIONS, which ends here", message("OPTIONS", change={"Max-Forwards": "0"}), 200),
    malformed("Max-Forwards 256", message(change={"Max-Forwards": "256"})),
    malformed("Max-Forwards negative", message(change={"Max-Forwards": "-1"})),
    malformed("Max-Forwards of 1000 digits", message(change={"Max-Forwards": "9" * 1000})),
    good("no Max-Forwards", message(change={"Max-Forwards": None})),
    good("Date and Expires that are nonsense", message(extra=("Date: Fri, 45 Foo", "Expires: 99999999999999999999"))),
]

ADDRESSES = [
    malformed("quote that never ends", message(From='"Mr. X <sip:a@b>;tag=1')),
    malformed("bracket that never ends", message(From="<sip:a@b;tag=1")),
    malformed("text behind the bracket", message(From="<sip:a@b> x;tag=1")),
    malformed("two tags", message(From="<sip:a@b>;tag=1;tag=2")),
    malformed("empty tag", message(From="<sip:a@b>;tag=")),
    malformed("From that is no URI", message(From="Bell, Alexander;tag=1")),
    good("From with a comma in its name", message(From=f"Bell, Alexander <sip:{{user}}@{REALM}>;tag=1")),
    malformed("Contact * and another", message(Contact="*, <sip:a@b>")),
    malformed("Contact with headers but no brackets", message(Contact="sip:a@b?Route=x")),
    malformed("Route that is no address", message(extra=("Route: nowhere",))),
    good("To of an unknown scheme", message(To="<isbn:2983792873>")),
    good("display name with CRLF escaped", message(From=f'"x%0d%0aRoute: y" <sip:{{user}}@{REALM}>;tag=1')),
    good("display name that looks like another", message(From=f'"<sip:x@y>;tag=9" <sip:{{user}}@{REALM}>;tag=1')),
    good("display name beyond UTF-8", message(From=f'"\udcff\udcfe" <sip:{{user}}@{REALM}>;tag=1')),
    good("display name right to left", message(From=f'"\u202e2\ufeff" <sip:{{user}}@{REALM}>;tag=1')),
    good("Route to somebody else", message(extra=("Route: <sip:evil.test;lr>",))),
    good("64 Record-Routes", message(extra=("Record-Route: " + ", ".join(["<sip:p.test;lr>"] * 64),))),
]

EXTENSIONS = [
    refused("Require: unknown", message(extra=("Require: nothingSupportsThis",)), 420, REJECTED),
    Case(
        "Require: 100rel",
        message(extra=("Require: 100rel",)),
        Expect(404),
        {"open": Expect(401), "wss": Expect(420)},  # trunks may, browsers never hear of it
    ),
    refused("Require: precondition", message(extra=("Require: precondition",)), 420, REJECTED),
    refused(
        "Replaces of no dialog", message(extra=("Require: replaces", "Replaces: a;to-tag=1;from-tag=2")), 481, REJECTED
    ),
    malformed("Replaces twice", message(extra=2 * ("Replaces: a;to-tag=1;from-tag=2",))),
    refused("Replaces without tags", message(extra=("Replaces: a",)), 400, REJECTED),
    refused("Require: unknown in OPTIONS", message("OPTIONS", extra=("Require: x",)), 420, REJECTED),
    refused("Require twice", message(extra=("Require: x", "Require: 100rel, y")), 420, REJECTED),
    refused("body that is no SDP", message(extra=("Content-Type: text/plain",), body=b"hello"), 415, REJECTED),
    refused("body without a type", message(body=b"hello"), 415, REJECTED),
    good("description without a type", message(body=b"v=0\r\n")),
    refused("Accept without descriptions", message(extra=("Accept: text/plain",)), 406, REJECTED),
    good("Require: timer", message(extra=("Require: timer", "Session-Expires: 1800"))),
    refused("a session of a second", message(extra=("Require: timer", "Session-Expires: 1")), 422, REJECTED),
    refused(
        "multipart body that requires the unknown",
        message(
            extra=("Content-Type: multipart/mixed;boundary=b",),
            body=b"--b\r\nContent-Type: a/b\r\nContent-Disposition: x;handling=required\r\n\r\n\r\n--b--\r\n",
        ),
        415,
        REJECTED,
    ),
    refused(
        "multipart body of 5000 parts",
        message(extra=("Content-Type: multipart/mixed;boundary=b",), body=b"--b\r\n\r\n" * 5000),
        415,
        REJECTED,
    ),
    refused(
        "compressed body",
        message(extra=("Content-Type: application/sdp", "Content-Encoding: gzip"), body=b"\x1f\x8b\x08"),
        415,
        REJECTED,
    ),
    malformed("Content-Type without a slash", message(extra=("Content-Type: sdp",), body=b"v=0\r\n")),
]

METHODS = [
    refused(f"{method} outside of a dialog", message(method, extra=extra), 405, REJECTED)
    for method, extra in (
        ("REFER", ("Refer-To: <sip:+1900@x.test>",)),
        ("SUBSCRIBE", ("Event: presence",)),
        ("NOTIFY", ("Event: refer", "Subscription-State: active")),
        ("MESSAGE", ()),
        ("INFO", ()),
        ("PUBLISH", ("Event: presence",)),
        ("BYE", ()),
        ("UPDATE", ()),
        ("PRACK", ("RAck: 1 1 INVITE",)),
    )
]

STRANGE_DIALOGS = [
    *(
        Case(
            f"{method} with guessed tags",
            message(method, To="<sip:a@b>;tag=guess", change=change),
            Expect(481),
            {},
            REJECTED,
        )
        for method, change in (
            ("BYE", {}),
            ("INFO", {}),
            ("UPDATE", {}),
            ("INVITE", {}),
            ("REFER", {"Refer-To": "<sip:+1900@x.test>"}),
            ("PRACK", {"RAck": "1 1 INVITE"}),
        )
    ),
    Case("CANCEL of nothing", message("CANCEL"), Expect(481), {}),
    unanswerable("ACK of nothing", message("ACK", To="<sip:a@b>;tag=guess"), REJECTED),
    unanswerable("malformed ACK", message("ACK", CSeq="1 INVITE")),
]


def response(start: str, via: str = "{via};branch={branch}") -> bytes:
    return message("INVITE", start=start, To="<sip:a@b>;tag=1", Via=via)


RESPONSES = [
    *(
        unanswerable(f"a {status} nobody asked for", response(f"SIP/2.0 {status} x"), UNMATCHED)
        for status in (100, 180, 200, 302, 401, 503, 699)
    ),
    unanswerable("a status of 4294967301", response("SIP/2.0 4294967301 better not break the receiver")),
    unanswerable("a status of 99", response("SIP/2.0 099 x")),
    unanswerable("a status of 700", response("SIP/2.0 700 x")),
    unanswerable("a status in letters", response("SIP/2.0 OK OK")),
    unanswerable(
        "a response with two Vias",
        response("SIP/2.0 200 OK", "{via};branch={branch}, SIP/2.0/UDP a;branch=z9hG4bKb"),
        UNMATCHED,
    ),
    unanswerable("a response without a reason", response("SIP/2.0 200"), UNMATCHED),
]

CASES = [
    *START_LINES,
    *REQUIRED,
    *NUMBERS,
    *ADDRESSES,
    *EXTENSIONS,
    *METHODS,
    *STRANGE_DIALOGS,
    *RESPONSES,
]
