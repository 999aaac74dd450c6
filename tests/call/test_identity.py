"""Who calls, as each trunk is told it: From, P-Asserted-Identity, privacy; nothing a browser claims counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.termination import Termination
from gateway.call.legs.identity import (
    Origin,
    Told,
    Voice,
    is_anonymous,
    is_telephone,
    of_trunk,
    of_user,
    tell,
    tell_registrar,
)
from gateway.call.legs.party import HIDDEN, Party, Reading
from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.people import Person
from gateway.sip.address import NameAddr
from gateway.sip.message import Headers, Request
from gateway.sip.uri import SipUri
from gateway.trunks.identity import Asserts, CallerFrom, PrivacyMode, TrunkIdentity
from tests.call.office import Office, invite

HOME = Home("49")
READING = Reading("example.test", HOME.international)
PERSON = Person(("+4930123451", "+4930123450"), "Alice Example")
ALICE = Origin("alice", "+4930123451", "Alice Example")


def said(from_: str = "<sip:alice@example.test>", *headers: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:600@gw", Headers.received([("From", f"{from_};tag=t"), *headers]))


def voice(form: NumberFormat | None = None, **identity: object) -> Voice:
    settings = TrunkIdentity(**identity)  # type: ignore[arg-type]
    return Voice(settings, "example.test", lambda number: HOME.written(number, form))


def from_(told: Told) -> str:
    return str(told.address)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "<sip:alice@example.test>"),
        ({"names": True}, '"Alice Example" <sip:alice@example.test>'),
        ({"from_": CallerFrom.NUMBER}, "<sip:+4930123451@example.test>"),
        ({"from_": CallerFrom.NUMBER, "user_phone": True}, "<sip:+4930123451@example.test;user=phone>"),
        ({"from_": CallerFrom.NUMBER, "domain": "carrier.example"}, "<sip:+4930123451@carrier.example>"),
        ({"from_": CallerFrom.FIXED, "number": "acme-1"}, "<sip:acme-1@example.test>"),
        ({"from_": CallerFrom.FIXED, "number": "+4930", "user_phone": True}, "<sip:+4930@example.test;user=phone>"),
        ({"user_phone": True}, "<sip:alice@example.test>"),
    ],
)
def test_from_is_what_the_trunk_wants(settings: dict[str, object], expected: str) -> None:
    assert from_(tell(ALICE, voice(None, **settings))) == expected


@pytest.mark.parametrize(
    ("form", "user"),
    [("e164", "4930123451"), ("+e164", "+4930123451"), ("national", "030123451"), (None, "+4930123451")],
)
def test_a_number_in_from_is_written_as_the_trunk_writes_numbers(form: str | None, user: str) -> None:
    told = tell(ALICE, voice(NumberFormat(form) if form else None, from_=CallerFrom.NUMBER, asserts=Asserts.ASSERTED))
    assert from_(told) == f"<sip:{user}@example.test>"
    assert told.fields == (("P-Asserted-Identity", f"<sip:{user}@example.test>"),)


def test_who_has_no_number_calls_by_that_of_the_trunk_or_by_name() -> None:
    bob = Origin("bob")
    assert from_(tell(bob, voice(from_=CallerFrom.NUMBER, number="+4930"))) == "<sip:+4930@example.test>"
    assert from_(tell(bob, voice(from_=CallerFrom.NUMBER))) == "<sip:bob@example.test>"


@pytest.mark.parametrize(
    ("asserts", "header"), [(Asserts.ASSERTED, "P-Asserted-Identity"), (Asserts.PREFERRED, "P-Preferred-Identity")]
)
def test_an_identity_is_sent_as_the_trunk_believes_it(asserts: Asserts, header: str) -> None:
    told = tell(ALICE, voice(asserts=asserts, names=True))
    assert told.fields == ((header, '"Alice Example" <sip:+4930123451@example.test>'),)
    assert from_(told) == '"Alice Example" <sip:alice@example.test>'
    assert tell(ALICE, voice()).fields == ()
    assert tell(replace(ALICE, asserted=False), voice(asserts=asserts)).fields == ()


@pytest.mark.parametrize("wish", [{"id"}, {"user"}, {"header"}, {"id", "critical"}, {"unheard-of"}])
def test_who_wants_privacy_is_nobody_to_a_trunk_that_is_not_trusted_with_it(wish: set[str]) -> None:
    private = ALICE.wishing(frozenset(wish))
    told = tell(private, voice(asserts=Asserts.ASSERTED, names=True, domain="carrier.example"))
    assert from_(told) == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert told.fields == ()


def test_a_trunk_that_is_trusted_gets_the_identity_and_the_wish() -> None:
    private = ALICE.wishing(frozenset({"id", "user"}))
    told = tell(private, voice(asserts=Asserts.ASSERTED, privacy=PrivacyMode.ON))
    assert from_(told) == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert told.fields == (("P-Asserted-Identity", "<sip:+4930123451@example.test>"), ("Privacy", "id;user"))


@pytest.mark.parametrize("wish", [set(), {"none"}, {"session"}, {"none", "critical"}])
def test_what_asks_for_nothing_of_the_person_hides_nobody(wish: set[str]) -> None:
    assert from_(tell(ALICE.wishing(frozenset(wish)), voice())) == "<sip:alice@example.test>"


def test_an_emergency_call_is_never_anonymous() -> None:
    told = tell(ALICE.wishing(frozenset({"id"})), voice(asserts=Asserts.ASSERTED), emergency=True)
    assert (from_(told), len(told.fields)) == ("<sip:alice@example.test>", 1)


@given(
    st.sampled_from([CallerFrom.USER, CallerFrom.NUMBER]),
    st.sampled_from(Asserts),
    st.sets(st.sampled_from(["id", "user", "header"]), min_size=1),
    st.booleans(),
)
def test_nothing_of_who_wants_privacy_leaks_whatever_is_configured(
    who: CallerFrom, asserts: Asserts, wish: set[str], names: bool
) -> None:
    told = tell(ALICE.wishing(frozenset(wish)), voice(from_=who, asserts=asserts, names=names, user_phone=names))
    text = f"{from_(told)} {told.fields}"
    assert not any(word in text for word in ("alice", "Alice", "4930", "example.test"))


# Who it is.


def test_a_user_is_who_signed_in_and_her_first_number_is_shown() -> None:
    mallory = said('"Mallory" <sip:alice@example.test>', ("P-Asserted-Identity", "<sip:+4999@x>"))
    assert of_user(mallory, "alice", PERSON, READING) == ALICE


@pytest.mark.parametrize(
    ("wish", "number"),
    [
        ("<sip:+4930123450@anything>", "+4930123450"),
        ("<tel:030123450>", "+4930123450"),
        ("<sip:004930123450@x;user=phone>", "+4930123450"),
        ("<sip:+49900@x>, <sip:+4930123450@x>", "+4930123450"),
        ("<sip:+49900123@x>", "+4930123451"),
        ("<sip:+493012345@x>", "+4930123451"),
        ("garbage", "+4930123451"),
        ("<sip:bob@example.test>", "+4930123451"),
    ],
)
def test_a_wish_counts_when_it_is_one_of_her_own_numbers(wish: str, number: str) -> None:
    found = of_user(said("<sip:alice@example.test>", ("P-Preferred-Identity", wish)), "alice", PERSON, READING)
    assert (found.user, found.number) == ("alice", number)


@pytest.mark.parametrize(
    "message",
    [
        said('"Anonymous" <sip:anonymous@anonymous.invalid>'),
        said("<sip:alice@example.test>", ("Privacy", "id")),
        said("<sip:alice@example.test>", ("Privacy", "user;critical")),
    ],
)
def test_a_user_may_ask_for_privacy_by_header_or_by_an_anonymous_from(message: Request) -> None:
    found = of_user(message, "alice", PERSON, READING)
    assert found.is_private
    assert found.user == "alice"
    assert found.shown() == HIDDEN


def test_a_user_is_shown_to_colleagues_by_name() -> None:
    assert ALICE.shown() == Party("Alice Example", "alice")


@pytest.mark.parametrize(
    ("headers", "trusted", "expected"),
    [
        ((), False, Origin("", "+49304711", "", asserted=False)),
        ((), True, Origin("", "+49304711", "Bob", asserted=False)),
        ((("P-Asserted-Identity", '"B" <sip:03099@x>'),), True, Origin("", "+493099", "B")),
        ((("P-Asserted-Identity", '"B" <sip:03099@x>'),), False, Origin("", "+49304711", "", asserted=False)),
        (
            (("Remote-Party-ID", '"R" <sip:03088@x>;party=calling;screen=yes;privacy=off'),),
            True,
            Origin("", "+493088", "R"),
        ),
        ((("Remote-Party-ID", '"R" <sip:03088@x>;screen=no'),), True, Origin("", "+49304711", "Bob", asserted=False)),
        (
            (("P-Asserted-Identity", "<sip:03099@x>"), ("Remote-Party-ID", '"R" <sip:03088@x>')),
            True,
            Origin("", "+493099", "Bob"),
        ),
    ],
)
def test_of_a_trunks_caller_is_believed_what_the_trunk_may_say(
    headers: tuple[tuple[str, str], ...], trusted: bool, expected: Origin
) -> None:
    assert of_trunk(said('"Bob" <sip:0304711@pbx>', *headers), READING, trusted=trusted) == expected


@pytest.mark.parametrize("privacy", ["full", "name", "uri", '"full"', "FULL"])
def test_an_old_header_that_asks_for_privacy_is_heard(privacy: str) -> None:
    message = said("<sip:0304711@pbx>", ("Remote-Party-ID", f"<sip:03088@x>;privacy={privacy}"))
    assert of_trunk(message, READING, trusted=True).is_private


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:anonymous@anonymous.invalid", True),
        ("sip:Anonymous@ANONYMOUS.invalid", True),
        ("sip:anonymous@example.test", False),
        ("sip:alice@anonymous.invalid", False),
    ],
)
def test_the_address_of_nobody(uri: str, expected: bool) -> None:
    assert is_anonymous(SipUri.parse(uri)) is expected


@pytest.mark.parametrize(
    ("user", "expected"), [("+4930", True), ("112", True), ("*97", False), ("bob", False), ("+", False)]
)
def test_what_is_a_telephone_number(user: str, expected: bool) -> None:
    assert is_telephone(user) is expected


# Through the door.


def configured(office: Office, trunk: str = "pbx", **settings: object) -> Office:
    """The office with this identity section for a trunk, and numbers for alice."""
    site = office.sites.current
    changed = replace(site.trunks[trunk], identity=TrunkIdentity(**settings))  # type: ignore[arg-type]
    office.sites.current = replace(site, trunks={**site.trunks, trunk: changed}, people={"alice": PERSON})
    return office


async def sent_by(office: Office, call: Request) -> Request:
    office.request(call)
    await office.settle()
    return next(request for request, _ in office.sip.sent.values() if request.method == "INVITE")


@pytest.mark.asyncio
async def test_an_anonymous_call_of_a_browser_is_hers_and_reaches_the_trunk_anonymous(tmp_path: Path) -> None:
    """As JsSIP sends it with `anonymous: true`."""
    office = configured(Office(tmp_path), asserts=Asserts.ASSERTED)
    call = invite().with_header("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=caller')
    call = call.with_added([("P-Preferred-Identity", "<sip:alice@example.test>"), ("Privacy", "id")])
    sent = await sent_by(office, call)
    assert str(sent.from_.uri) == "sip:anonymous@anonymous.invalid"
    assert b"alice" not in bytes(sent)
    start = next(r for r in office.audit.records if r["type"] == "call.start")
    assert start["user"] == "alice"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "address", ["<sip:anonymous@example.test>", "<sip:bob@anonymous.invalid>", "<sip:bob@example.test>"]
)
async def test_from_is_the_user_or_nobody_and_nobody_else(tmp_path: Path, address: str) -> None:
    office = Office(tmp_path)
    office.request(invite().with_header("From", f"{address};tag=caller"))
    await office.settle()
    final = next(r for r in office.audit.records if r["type"] == "call.final")
    assert final["termination"] == Termination.IDENTITY_MISMATCH.slug


@pytest.mark.asyncio
async def test_a_carrier_gets_number_domain_and_identity_as_it_wants_them(tmp_path: Path) -> None:
    office = configured(
        Office(tmp_path),
        from_=CallerFrom.NUMBER,
        domain="acme.example",
        user_phone=True,
        asserts=Asserts.ASSERTED,
        names=True,
    )
    sent = await sent_by(office, invite("600"))
    assert str(sent.from_.uri) == "sip:+4930123451@acme.example;user=phone"
    assert sent.from_.display_name == "Alice Example"
    assert sent.uri == "sip:600@pbx.example;user=phone"
    assert str(sent.to.uri) == "sip:600@pbx.example;user=phone"
    assert sent.headers.get("P-Asserted-Identity") == '"Alice Example" <sip:+4930123451@acme.example;user=phone>'


@pytest.mark.asyncio
async def test_an_emergency_call_says_who_it_is_although_she_asked_for_privacy(tmp_path: Path) -> None:
    office = configured(Office(tmp_path), from_=CallerFrom.NUMBER)
    sent = await sent_by(office, invite("112").with_added([("Privacy", "id")]))
    assert sent.from_.uri.user == "+4930123451"


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["", "sbc.example"])
async def test_a_trunk_reaches_us_by_the_name_it_wants(tmp_path: Path, host: str) -> None:
    office = Office(tmp_path)
    site = office.sites.current
    office.sites.current = replace(site, trunks={**site.trunks, "pbx": replace(site.trunks["pbx"], contact=host)})
    sent = await sent_by(office, invite())
    assert sent.contact is not None
    assert sent.contact.uri.host == (host or "127.0.0.1")
    assert sent.contact.uri.params.get("transport") == "tls"


def test_a_pbx_that_lets_our_users_in_itself_is_told_who_it_is_and_what_she_wishes() -> None:
    assert tell_registrar(ALICE, "pbx.example") == Told(NameAddr("", SipUri.of("alice", "pbx.example")))
    private = tell_registrar(ALICE.wishing(frozenset({"id"})), "pbx.example")
    assert (str(private.address), private.fields) == ("<sip:alice@pbx.example>", (("Privacy", "id"),))


@pytest.mark.asyncio
async def test_a_call_for_help_is_made_whatever_stands_in_from_and_in_the_name_of_who_signed_in(tmp_path: Path) -> None:
    sent = await sent_by(Office(tmp_path), invite("112").with_header("From", "<sip:bob@example.test>;tag=caller"))
    assert sent.from_.uri.user == "alice"


@pytest.mark.parametrize(
    ("asked", "wish"),
    [
        ("id", "id"),
        ("user; critical", "critical;user"),
        ("none;header", "header"),
        ('"x"@evil.example(,)=<sip:a@b>', "id"),
        ("\u00fcber;history;user", "history;id;user"),
        (";".join(f"w{n}" for n in range(500)), "id"),
    ],
)
def test_a_wish_for_privacy_is_passed_on_in_the_words_there_are_and_in_no_others(asked: str, wish: str) -> None:
    origin = of_user(said("<sip:alice@example.test>", ("Privacy", asked)), "alice", Person(), Reading("example.test"))
    assert tell(origin, voice(privacy=PrivacyMode.ON)).fields[-1] == ("Privacy", wish)
    assert tell_registrar(origin, "example.test").fields == (("Privacy", wish),)
