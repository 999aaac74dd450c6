"""Challenges and credentials that pass through, and those that are held back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sip.digest_relay import MAX_FIELDS, MAX_LENGTH, challenges, claimed, credentials, next_nonce
from gateway.sip.message import Headers, Request, Response
from tests import effort

URI = "sip:example.test"
PLAIN = 'Digest realm="r", nonce="n1", algorithm=MD5, qop="auth", opaque="x, y"'


def challenged(*texts: str, name: str = "WWW-Authenticate", status: int = 401) -> Response:
    return Response(status, "Unauthorized", Headers([(name, text) for text in texts]))


def asked(*texts: str, name: str = "Authorization") -> Request:
    return Request("REGISTER", URI, Headers([(name, text) for text in texts]))


def proof(**changes: str) -> str:
    given = {
        "username": '"alice"',
        "realm": '"r"',
        "nonce": '"n1"',
        "uri": f'"{URI}"',
        "response": f'"{"0" * 32}"',
        "qop": "auth",
        "nc": "00000001",
        "cnonce": '"c"',
    } | changes
    return "Digest " + ", ".join(f"{name}={value}" for name, value in given.items() if value)


def test_a_challenge_passes_octet_for_octet() -> None:
    (passed,) = challenges(challenged(PLAIN), "")
    assert (passed.name, passed.text, passed.nonce, passed.stale) == ("WWW-Authenticate", PLAIN, "n1", False)


def test_a_proxys_challenge_passes_as_one() -> None:
    (passed,) = challenges(challenged(PLAIN, name="Proxy-Authenticate", status=407), "")
    assert passed.name == "Proxy-Authenticate"


@pytest.mark.parametrize("written", ['"auth-int,auth"', '"auth, auth-int"', '"AUTH-INT, Auth"'])
def test_of_several_qualities_of_protection_auth_is_left_and_all_else_stays(written: str) -> None:
    (passed,) = challenges(challenged(PLAIN.replace('"auth"', written)), "")
    assert passed.text == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        'Basic realm="r"',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n"',
        'Digest realm="r", qop="auth"',
        'Digest realm="r", nonce="n", qop="auth", algorithm=AKAv1-MD5',
        'Digest realm="r", nonce="n", qop="auth", nonce="m"',
        'Digest realm="r", nonce="n", qop="auth", junk',
        'Digest realm="r, nonce="n", qop="auth',
        f'Digest realm="r", nonce="{"n" * MAX_LENGTH}", qop="auth"',
        "Digest",
        "",
    ],
)
def test_what_is_no_digest_that_can_be_relayed_does_not_pass(text: str) -> None:
    assert challenges(challenged(text), "") == ()


def test_the_order_of_algorithms_is_the_registrars() -> None:
    other = PLAIN.replace("MD5", "SHA-256")
    assert [passed.text for passed in challenges(challenged(other, PLAIN), "")] == [other, PLAIN]


def test_only_the_realm_that_is_named_may_ask() -> None:
    assert challenges(challenged(PLAIN), "elsewhere") == ()
    assert len(challenges(challenged(PLAIN), "r")) == 1


@pytest.mark.parametrize(
    ("mark", "stale"), [(", stale=TRUE", True), (', stale="true"', True), (", stale=false", False)]
)
def test_a_nonce_that_is_too_old_is_told_from_a_wrong_password(mark: str, stale: bool) -> None:
    assert challenges(challenged(PLAIN + mark), "")[0].stale is stale


def test_no_more_challenges_are_looked_at_than_anybody_needs() -> None:
    assert len(challenges(challenged(*[PLAIN] * 50), "")) == MAX_FIELDS


def test_credentials_pass_octet_for_octet_where_their_challenge_is_known() -> None:
    given = credentials(asked(proof()), lambda answer: answer.nonce == "n1")
    assert given.headers == (("Authorization", proof()),)
    assert given.username == "alice"
    assert not given.held_back


def test_credentials_of_both_fields_pass_as_what_they_are() -> None:
    request = asked(proof()).with_added([("Proxy-Authorization", proof())])
    assert [name for name, _ in credentials(request, lambda _: True).headers] == [
        "Authorization",
        "Proxy-Authorization",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"qop": "auth-int"},
        {"qop": ""},
        {"uri": '"sip:other.test"'},
        {"uri": '"sip:EXAMPLE.test"'},
        {"nc": "00000000"},
        {"nc": "1"},
        {"cnonce": '""'},
        {"username": '""'},
        {"nonce": '""'},
        {"cnonce": f'"{"c" * MAX_LENGTH}"'},
    ],
)
def test_credentials_that_prove_nothing_we_could_relay_are_held_back(changes: dict[str, str]) -> None:
    given = credentials(asked(proof(**changes)), lambda _: True)
    assert (given.headers, given.username) == ((), "")
    assert given.held_back


def test_credentials_whose_challenge_is_not_known_are_held_back_and_others_pass() -> None:
    given = credentials(asked(proof(nonce='"n2"'), proof()), lambda answer: answer.nonce == "n1")
    assert given.headers == (("Authorization", proof()),)
    assert given.held_back


@pytest.mark.parametrize(
    "second",
    [
        {"username": '"bob"'},
        {"username": '"bob"', "algorithm": "SHA-256"},
        {"response": f'"{"1" * 32}"'},
        {"response": f'"{"1" * 32}"', "algorithm": "md5"},
    ],
)
def test_one_guess_does_not_pass_under_the_name_of_another_nor_beside_it(second: dict[str, str]) -> None:
    """What a registrar refuses is counted once, and for the first name."""
    given = credentials(asked(proof(), proof(**second)), lambda _: True)
    assert given.headers == (("Authorization", proof()),)
    assert given.held_back


def test_answers_by_several_algorithms_and_to_several_realms_pass_together() -> None:
    texts = [proof(), proof(algorithm="SHA-256"), proof(realm='"other"')]
    given = credentials(asked(*texts), lambda _: True)
    assert [text for _, text in given.headers] == texts
    assert not given.held_back


@pytest.mark.parametrize("text", ["Bearer abc", "Basic YTpi", "Digest", "Digest =", 'Digest username="a'])
def test_anything_but_a_digest_stays_here(text: str) -> None:
    assert credentials(asked(text), lambda _: True).headers == ()


def test_a_claimed_name_is_cut() -> None:
    assert len(claimed("a" * 500)) == 64


@pytest.mark.parametrize(
    ("text", "found"), [('nextnonce="n2", qop=auth', "n2"), ("qop=auth", ""), ("", ""), ('nextnonce="', "")]
)
def test_the_next_nonce_is_read(text: str, found: str) -> None:
    assert next_nonce(Response(200, "OK", Headers([("Authentication-Info", text)] if text else []))) == found


@settings(max_examples=effort.examples(300))
@given(
    st.lists(st.sampled_from(["auth", "auth-int", "AUTH", "other"]), min_size=1, max_size=4),
    st.lists(
        st.sampled_from(['opaque="a, b"', "stale=FALSE", 'domain="sip:x"', "algorithm=SHA-256", 'x="\\""']), unique=True
    ),
)
def test_a_challenge_that_passes_says_what_it_said_but_for_the_protection_of_bodies(
    qualities: list[str], others: list[str]
) -> None:
    parts = ['realm="r"', *others, f'qop="{",".join(qualities)}"', 'nonce="n"']
    found = challenges(challenged("Digest " + ", ".join(parts)), "")
    if "auth" not in [word.lower() for word in qualities]:
        assert found == ()
        return
    kept = [part for part in found[0].text.removeprefix("Digest ").split(", ") if not part.startswith("qop=")]
    assert ", ".join(kept) == ", ".join(part for part in parts if not part.startswith("qop="))
    assert "auth-int" not in found[0].text
