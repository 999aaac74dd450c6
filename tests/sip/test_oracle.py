"""Differential test: on well-formed messages this parser and `sipmessage` see the same thing.

Well-formed only: on anything else the two differ on purpose (folding, bare line feeds, quoted lists).
"""

from __future__ import annotations

import sipmessage
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sip.address import NameAddr
from gateway.sip.grammar import words
from gateway.sip.message import Request, Response
from gateway.sip.params import Params
from gateway.sip.uri import SipUri
from tests.effort import examples
from tests.sip.samples import datagram, jssip_capture, raw


def same_uri(ours: SipUri, theirs: sipmessage.URI) -> None:
    assert (ours.scheme, ours.user_decoded or None, ours.host) == (theirs.scheme, theirs.user, theirs.host.strip("[]"))
    assert ours.port == theirs.port
    same_params(ours.params, theirs.parameters)


def same_params(ours: Params, theirs: sipmessage.Parameters) -> None:
    assert {name: value for name, value in ours} == dict(theirs)


def same_address(ours: NameAddr, theirs: sipmessage.Address) -> None:
    # They shorten white space inside of quotes, we do not.
    assert words(ours.display_name) == words(theirs.name)
    same_uri(ours.uri, theirs.uri)
    same_params(ours.params, theirs.parameters)


def compare(data: bytes) -> None:
    ours, theirs = datagram(data), sipmessage.Message.parse(data)
    if isinstance(ours, Request) and isinstance(theirs, sipmessage.Request):
        assert ours.method == theirs.method
        same_uri(ours.request_uri, theirs.uri)
    else:
        assert isinstance(ours, Response)
        assert isinstance(theirs, sipmessage.Response)
        assert (ours.status, ours.reason) == (theirs.code, theirs.phrase)
    compare_headers(ours, theirs)


def compare_headers(ours: Request | Response, theirs: sipmessage.Request | sipmessage.Response) -> None:
    same_address(ours.from_, theirs.from_address)
    same_address(ours.to, theirs.to_address)
    for mine, other in zip(ours.contacts, theirs.contact, strict=True):
        same_address(mine, other)
    for mine, other in zip(ours.route, theirs.route, strict=True):
        same_address(mine, other)
    assert [(via.transport, via.host, via.port, via.branch) for via in ours.vias] == [
        (via.transport, via.host.strip("[]"), via.port, via.parameters.get("branch")) for via in theirs.via
    ]
    assert (ours.call_id, ours.cseq.number, ours.cseq.method) == (
        theirs.call_id,
        theirs.cseq.sequence,
        theirs.cseq.method,
    )
    assert (ours.max_forwards, ours.body) == (theirs.max_forwards, theirs.body)


def test_the_messages_of_jssip_read_alike() -> None:
    for data in jssip_capture():
        compare(data)


WORD = st.text(alphabet="abcdefgXYZ0123456789-", min_size=1, max_size=10).filter(
    lambda text: text[0].isalpha() and text[-1].isalnum()
)
HOST = st.one_of(WORD.map(lambda word: f"{word}.example.com"), st.just("192.0.2.7"), st.just("[2001:db8::7]"))
USER = st.text(alphabet="abcXYZ019-_.!~*'()&=+$", min_size=1, max_size=12)
PORT = st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format))
PARAMS = st.lists(
    st.tuples(st.sampled_from(["lr", "ob", "x"]), st.booleans()), max_size=3, unique_by=lambda item: item[0]
).map(lambda items: "".join(f";{name}=v1" if valued else f";{name}" for name, valued in items))
URI = st.builds("{}:{}@{}{}{}".format, st.sampled_from(["sip", "sips"]), USER, HOST, PORT, PARAMS)
NAME = st.one_of(
    st.just(""),
    WORD.map("{} ".format),
    st.text(alphabet="ab ,;:@=?.\u00e4'", min_size=1, max_size=12).map(lambda text: f'"x{text}" '),
)
ADDRESS = st.builds("{}<{}>".format, NAME, URI)
PLAIN_ADDRESS = st.builds("<{}>{}".format, URI, PARAMS)
VIA = st.builds(
    "SIP/2.0/{} {}{};branch=z9hG4bK{};rport".format, st.sampled_from(["UDP", "TLS", "WSS"]), HOST, PORT, WORD
)


@settings(max_examples=examples(150), deadline=None)
@given(
    uri=URI,
    sender=ADDRESS,
    receiver=ADDRESS,
    tag=WORD,
    vias=st.lists(VIA, min_size=1, max_size=3),
    contacts=st.lists(PLAIN_ADDRESS, max_size=3),
    routes=st.lists(PLAIN_ADDRESS, min_size=1, max_size=3),
    number=st.integers(0, 2**31 - 1),
    body=st.binary(max_size=50),
)
def test_any_well_formed_request_reads_alike(
    uri: str,
    sender: str,
    receiver: str,
    tag: str,
    vias: list[str],
    contacts: list[str],
    routes: list[str],
    number: int,
    body: bytes,
) -> None:
    extra = "\r\n".join([*(f"Contact: {contact}" for contact in contacts), "Route: " + ", ".join(routes)])
    compare(
        raw(
            f"OPTIONS {uri} SIP/2.0",
            body,
            extra=extra,
            without="Contact",
            Via=", ".join(vias),
            From=f"{sender};tag={tag}",
            To=receiver,
            CSeq=f"{number} OPTIONS",
        )
    )
