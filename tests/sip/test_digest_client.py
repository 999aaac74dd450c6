"""Digest credentials of our requests: RFC vectors, the verdict of our own server, and what is never answered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.base.values import Secret
from gateway.sip.digest_client import FIELDS, HASHES, Login, challenges, counted_on, credentials, is_stale
from gateway.sip.message import Request, Response, create_response
from tests.sip.digest import PASSWORD, REALM, USER, lookup, parameters, server
from tests.sip.samples import raw, request

LOGIN = Login(USER, Secret(PASSWORD))
MUFASA = Login("Mufasa", Secret("Circle of Life"))


def asked(*values: str, status: int = 401) -> tuple[Request, Response]:
    """A request of ours, and who asks for credentials."""
    message = request(raw("REGISTER sip:pbx.example SIP/2.0", CSeq="1 REGISTER"))
    name = FIELDS[status][0]
    return message, create_response(message, status, to_tag="pbx", headers=[(name, value) for value in values])


def answers(*values: str, login: Login = LOGIN, status: int = 401, cnonce: str = "c0ffee") -> list[dict[str, str]]:
    message, response = asked(*values, status=status)
    return [parameters(value) for _, value in credentials(response, message, login, lambda _length: cnonce)]


def challenge(realm: str = REALM, **changes: str) -> str:
    fields = {"realm": f'"{realm}"', "nonce": '"n1"', "qop": '"auth"', **changes}
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items() if value)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_come_out_as_printed(algorithm: str, response: str) -> None:
    """RFC 7616 3.9.1: Mufasa asks for /dir/index.html."""
    text = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    _, refused = asked(text)
    got = Request("GET", "/dir/index.html", request(raw("OPTIONS sip:a SIP/2.0", CSeq="1 OPTIONS")).headers)
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    ((name, value),) = credentials(refused, got, MUFASA, lambda _length: cnonce)
    found = parameters(value)
    assert name == "Authorization"
    assert found["response"] == response
    assert found["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    assert (found["qop"], found["nc"], found["algorithm"]) == ("auth", "00000001", algorithm)


def test_an_rfc_2069_server_gets_no_qop() -> None:
    """RFC 3261 22.4 (8): without qop nothing but the nonce goes into the hash. The values are those of RFC 2617 3.5."""
    (found,) = answers(challenge(qop="", nonce='"dcd98b7102dd2f0e8b11d0f600bfb0c093"'))
    assert {"qop", "nc", "cnonce"}.isdisjoint(found)


@pytest.mark.parametrize("number", [0, 1])
def test_our_own_server_takes_the_answer_to_each_of_its_challenges(number: int) -> None:
    digest = server()
    message, refused = asked(digest.challenges(7, 0.0)[number])
    answered = message.with_added(credentials(refused, message, LOGIN, lambda length: "c" * length))
    assert digest.verify(answered, 7, lookup, 1.0).user == USER


@pytest.mark.parametrize("number", [0, 1])
def test_a_server_that_counts_takes_the_same_nonce_once_more_and_not_the_same_credentials(number: int) -> None:
    """RFC 7616 3.4: each count of a nonce is good once."""
    digest = server()
    message, refused = asked(digest.challenges(7, 0.0)[number])
    ((name, first),) = credentials(refused, message, LOGIN, lambda length: "c" * length)
    assert digest.verify(message.with_added([(name, first)]), 7, lookup, 1.0).user == USER
    assert digest.verify(message.with_added([(name, first)]), 7, lookup, 1.0).user is None
    for count in (2, 3):
        first = counted_on(first, message, LOGIN)
        assert f"nc=0000000{count}" in first
        assert digest.verify(message.with_added([(name, first)]), 7, lookup, 1.0).user == USER


@pytest.mark.parametrize("changes", [{"opaque": '"x\\"y"'}, {"algorithm": "MD5-sess"}, {"realm": 'a \\"b\\"'}])
def test_credentials_that_are_counted_on_say_all_else_as_they_did(changes: dict[str, str]) -> None:
    message, response = asked(challenge(**changes))
    ((_, value),) = credentials(response, message, LOGIN, lambda length: "c" * length)
    before, after = parameters(value), parameters(counted_on(value, message, LOGIN))
    assert {name for name in before if before[name] != after[name]} == {"nc", "response"}
    assert before.keys() == after.keys()


def test_credentials_without_a_count_stay_as_they_are() -> None:
    message, response = asked(challenge(qop=""))
    ((_, value),) = credentials(response, message, LOGIN, lambda length: "c" * length)
    assert counted_on(value, message, LOGIN) == value


def test_of_several_challenges_of_one_realm_the_strongest_is_answered_wherever_it_stands() -> None:
    offered = [challenge(algorithm=name, nonce=f'"{name}"') for name in ("MD5", "SHA-256", "SHA-512-256")]
    for order in (offered, offered[::-1]):
        assert [found["algorithm"] for found in answers(*order)] == ["SHA-512-256"]


def test_each_realm_that_asks_is_answered() -> None:
    """RFC 3261 22.3: a request that is forked to two proxies is challenged by both."""
    assert [found["realm"] for found in answers(challenge("a"), challenge("b"), status=407)] == ["a", "b"]


def test_a_password_for_one_realm_is_used_in_no_other() -> None:
    own = Login(USER, Secret(PASSWORD), realm=REALM)
    assert answers(challenge("evil.example"), login=own) == []
    assert [found["realm"] for found in answers(challenge("evil.example"), challenge(), login=own)] == [REALM]


@pytest.mark.parametrize(
    "value",
    [
        "Basic realm=x",
        "Bearer authz_server=x",
        challenge(algorithm="SHA-1"),
        challenge(qop='"auth-int"'),
        challenge(nonce=""),
        "Digest",
        "Digest realm",
        'Digest realm="a", realm="b", nonce="x"',
        "Digest " + ", ".join(f'x{number}="y"' for number in range(40)),
        f'Digest realm="{"r" * 600}", nonce="x"',
        "",
    ],
)
def test_what_cannot_be_answered_is_not_answered_and_hides_nothing_that_can(value: str) -> None:
    assert answers(value) == []
    assert len(answers(value, challenge())) == 1


def test_more_challenges_than_anybody_sends_are_not_looked_at() -> None:
    assert len(answers(*(challenge(f"realm-{number}") for number in range(100)))) == 8


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_session_variant_hashes_the_nonces_into_the_secret(algorithm: str) -> None:
    plain, session = (answers(challenge(algorithm=name))[0] for name in (algorithm, f"{algorithm}-sess"))
    assert plain["response"] != session["response"]
    assert session["algorithm"] == f"{algorithm}-sess"


def test_a_session_variant_tells_its_nonce_where_the_server_knows_no_qop() -> None:
    """RFC 7616 3.4.2: it is in the secret, which nobody could compute without it."""
    (found,) = answers(challenge(qop="", algorithm="MD5-sess"))
    assert found["cnonce"] == "c0ffee"
    assert {"qop", "nc"}.isdisjoint(found)


@pytest.mark.parametrize(("stale", "is_so"), [("true", True), ("TRUE", True), ("false", False), ("", False)])
def test_only_the_peer_says_that_a_nonce_is_stale(stale: str, is_so: bool) -> None:
    _, response = asked(challenge(stale=stale))
    assert is_stale(response, LOGIN) is is_so


def test_nothing_of_a_login_can_be_printed() -> None:
    assert PASSWORD not in repr(LOGIN)


@pytest.mark.parametrize("values", [(), ("",), (challenge(),) * 3])
def test_a_challenge_that_is_repeated_is_one(values: Sequence[str]) -> None:
    _, response = asked(*values)
    assert len(challenges(response, LOGIN)) == (1 if len(values) == 3 else 0)


def test_every_hash_named_here_is_one_of_this_python() -> None:
    assert list(HASHES) == ["SHA-512-256", "SHA-256", "MD5"]
    for name in HASHES:
        assert len(answers(challenge(algorithm=name))) == 1
