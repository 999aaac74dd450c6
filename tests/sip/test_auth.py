"""Digest: the vectors of the RFCs, and every way to be somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.values import Secret
from gateway.sip import auth
from gateway.sip.auth import (
    NONCE_COUNT_WINDOW,
    NONCE_LIFE,
    AuthOutcome,
    DigestServer,
    compute_ha1,
    compute_response,
)
from tests.sip.digest import (
    FLOW,
    REALM,
    URI,
    USER,
    authorization,
    credentials,
    nonce_of,
    parameters,
    register,
    server,
    verify,
)
from tests.sip.samples import jssip_capture, request

# Vectors


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_vectors_of_rfc_7616_section_3_9_1(algorithm: str, expected: str) -> None:
    ha1 = compute_ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    assert compute_response(ha1, "GET", "/dir/index.html", nonce, "00000001", cnonce, algorithm) == expected


def test_the_vector_of_rfc_2617_section_3_5() -> None:
    ha1 = compute_ha1("Mufasa", "testrealm@host.com", "Circle Of Life", "MD5")
    assert ha1 == "939e7578ed9e3c518a452acee763bce9"
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    response = compute_response(ha1, "GET", "/dir/index.html", nonce, "00000001", "0a4f113b", "MD5")
    assert response == "6629fae49393a05397450978507c4ef1"


def test_the_credentials_of_jssip_are_read() -> None:
    message = next(request(data) for data in jssip_capture() if b"\r\nAuthorization:" in data)
    answer = auth.DigestAnswer.parse(message.headers.get("Authorization") or "")
    assert answer is not None
    assert (answer.username, answer.hash_name, answer.count, answer.qop) == ("alice", "MD5", 1, "auth")
    assert (answer.cnonce, answer.uri) == ("jf86u2qagd40", "sip:example.test")


# Challenges


def test_both_algorithms_are_offered_sha256_first_with_qop_auth_only() -> None:
    first, last = server().challenges(FLOW, 0.0)
    assert (parameters(first)["algorithm"], parameters(last)["algorithm"]) == ("SHA-256", "MD5")
    for challenge in (first, last):
        assert challenge.startswith(f'Digest realm="{REALM}", nonce="')
        assert 'qop="auth"' in challenge
        assert "stale" not in challenge
    assert all(", stale=true" in challenge for challenge in server().challenges(FLOW, 0.0, stale=True))


def test_a_request_without_credentials_is_to_be_challenged() -> None:
    assert verify(server(), register()) == AuthOutcome(None, False, "no credentials")
    assert verify(server(), register("Basic YWxpY2U6eA==")).reason == "no credentials"
    assert verify(server(), register("NoOneKnowsThisScheme opaque-data=here")).reason == "no credentials"


# Right answers


@pytest.mark.parametrize("algorithm", ["SHA-256", "sha-256", "MD5", "md5", ""])
@pytest.mark.parametrize("header", ["Authorization", "Proxy-Authorization"])
def test_a_right_answer_proves_the_user(algorithm: str, header: str) -> None:
    digest = server()
    nonce = nonce_of(digest)
    value = authorization(nonce, algorithm=algorithm.upper()).replace(algorithm.upper() or "\0", algorithm)
    assert verify(digest, register(value, header=header)) == AuthOutcome(USER, False, "")


def test_a_nonce_is_good_for_many_requests_with_rising_counts() -> None:
    digest = server()
    nonce = nonce_of(digest)
    for count in (1, 2, 3, 10, 0xFFFFFFFF):
        assert verify(digest, register(authorization(nonce, nc=f"{count:08x}"))).user == USER


def test_counts_may_overtake_each_other_within_the_window() -> None:
    digest = server()
    nonce = nonce_of(digest)
    last = NONCE_COUNT_WINDOW + 2
    for count, user in [
        (last, USER),
        (last - 1, USER),
        (3, USER),
        (2, None),
        (last - 1, None),
        (last, None),
        (3, None),
    ]:
        assert verify(digest, register(authorization(nonce, nc=f"{count:08x}"))).user == user


def test_credentials_for_another_realm_are_passed_over() -> None:
    digest = server()
    message = register(authorization("theirs", realm="carrier"))
    assert verify(digest, message).reason == "no credentials"
    message = message.with_added([("Proxy-Authorization", authorization(nonce_of(digest)))])
    assert verify(digest, message).user == USER


def test_names_ignore_case_and_white_space_is_allowed() -> None:
    digest = server()
    value = authorization(nonce_of(digest), qop="AUTH").replace(", ", " ,\t").replace("=", " = ").replace("nc", "NC")
    assert verify(digest, register(value)).user == USER


def test_a_realm_or_user_with_quotes_and_commas_survives() -> None:
    name, realm = 'o"b, c\\d', 'a "realm", really'
    digest = DigestServer(realm, Secret(b"k"), lambda length: "x" * length)
    nonce = parameters(digest.challenges(FLOW, 0.0)[1])["nonce"]
    message = register(authorization(nonce, username=name, realm=realm))
    assert digest.verify(message, FLOW, lambda user: credentials(user, realm=realm), 1.0).user == name


def test_the_host_of_the_digest_uri_ignores_case() -> None:
    digest = server()
    message = register(authorization(nonce_of(digest), uri="sip:PBX.Example"))
    assert verify(digest, message).user == USER


# Wrong answers


def test_a_wrong_password_and_an_unknown_user_look_alike() -> None:
    digest = server()
    wrong = verify(digest, register(authorization(nonce_of(digest), password="guess")))
    unknown = verify(digest, register(authorization(nonce_of(digest), username="mallory")))
    assert (wrong.user, wrong.stale, wrong.reason) == (None, False, "wrong user or password")
    assert (unknown.user, unknown.stale, unknown.reason) == (None, False, "wrong user or password")
    assert (wrong.claimed, unknown.claimed) == ("alice", "mallory")


def test_an_unknown_user_costs_the_same_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = server()
    messages = [register(authorization(nonce_of(digest), username=name)) for name in (USER, "mallory")]
    calls: list[str] = []
    genuine = auth.digest_hash

    def counting(algorithm: str, text: str) -> str:
        calls.append(algorithm)
        return genuine(algorithm, text)

    hashes = {name: credentials(name) for name in (USER,)}
    monkeypatch.setattr(auth, "digest_hash", counting)
    digest.verify(messages[0], FLOW, hashes.get, 1.0)
    known = list(calls)
    calls.clear()
    digest.verify(messages[1], FLOW, hashes.get, 1.0)
    assert calls == known == ["SHA-256", "SHA-256"]


def test_the_decoy_of_an_unknown_user_opens_nothing() -> None:
    digest = server()
    nonce = nonce_of(digest)
    ha1 = digest._decoy.ha1("MD5")
    forged = compute_response(ha1, "REGISTER", URI, nonce, "00000001", "c0ffee", "MD5")
    message = register(authorization(nonce, username="mallory", algorithm="MD5", response=forged))
    assert verify(digest, message).user is None


def test_stored_hashes_of_another_realm_are_no_use() -> None:
    digest = server()
    message = register(authorization(nonce_of(digest)))
    assert digest.verify(message, FLOW, lambda user: credentials(realm="other"), 1.0).user is None


def test_a_replayed_header_is_refused() -> None:
    digest = server()
    message = register(authorization(nonce_of(digest)))
    assert verify(digest, message).user == USER
    assert verify(digest, message) == AuthOutcome(None, True, "nonce expired, foreign or used", USER)


def test_a_nonce_dies_of_age_and_is_then_stale() -> None:
    digest = server()
    nonce = nonce_of(digest, now=100.0)
    assert verify(digest, register(authorization(nonce)), 100.0 + NONCE_LIFE - 0.01).user == USER
    outcome = verify(digest, register(authorization(nonce, nc="00000002")), 100.0 + NONCE_LIFE + 0.01)
    assert (outcome.user, outcome.stale) == (None, True)


def test_an_old_nonce_with_a_wrong_password_is_not_called_stale() -> None:
    digest = server()
    outcome = verify(digest, register(authorization(nonce_of(digest), password="guess")), 1000.0)
    assert (outcome.user, outcome.stale) == (None, False)


def test_a_nonce_of_another_flow_is_refused() -> None:
    digest = server()
    nonce = nonce_of(digest, flow=8)
    outcome = verify(digest, register(authorization(nonce)), flow=7)
    assert (outcome.user, outcome.stale) == (None, True)
    assert verify(digest, register(authorization(nonce)), flow=8).user == USER


def test_a_nonce_of_another_server_or_none_at_all_is_refused() -> None:
    digest = server()
    other = DigestServer(REALM, Secret(b"another key"), lambda length: "0" * length)
    good = nonce_of(digest)
    for nonce in (
        nonce_of(other),
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "x",
        "0" * 60,
        good[:-1],
        good + "0",
        "\u00e4" * 60,
    ):
        assert verify(digest, register(authorization(nonce))).user is None
    for place in range(len(good)):
        forged = good[:place] + ("0" if good[place] != "0" else "1") + good[place + 1 :]
        assert verify(digest, register(authorization(forged))).user is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"qop": ""}, "qop is not auth"),
        ({"qop": "auth-int"}, "qop is not auth"),
        ({"uri": "sip:other.example"}, "digest URI is not the request URI"),
        ({"uri": "sip:alice@pbx.example"}, "digest URI is not the request URI"),
        ({"uri": "sip:pbx.example;transport=tls"}, "digest URI is not the request URI"),
        ({"uri": "sips:pbx.example"}, "digest URI is not the request URI"),
        ({"uri": "nonsense"}, "digest URI is not the request URI"),
        ({"uri": ""}, "digest URI is not the request URI"),
        ({"algorithm": "MD5-sess"}, "unknown algorithm"),
        ({"algorithm": "SHA-512-256"}, "unknown algorithm"),
        ({"nc": ""}, "incomplete credentials"),
        ({"nc": "00000000"}, "incomplete credentials"),
        ({"nc": "1"}, "incomplete credentials"),
        ({"nc": "0000000g"}, "incomplete credentials"),
        ({"nc": "-0000001"}, "incomplete credentials"),
        ({"cnonce": ""}, "incomplete credentials"),
        ({"username": ""}, "incomplete credentials"),
        ({"response": ""}, "wrong user or password"),
        ({"response": "0" * 64}, "wrong user or password"),
        ({"response": "\u00e4" * 64}, "wrong user or password"),
    ],
)
def test_an_answer_that_is_not_exactly_right_is_refused(change: dict[str, str], reason: str) -> None:
    digest = server()
    nonce = nonce_of(digest)
    assert verify(digest, register(authorization(nonce, method="REGISTER", **change))).reason == reason
    assert verify(digest, register(authorization(nonce))).user == USER


def _right_response(value: str) -> str:
    return parameters(value)["response"]


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_a_response_wrong_in_any_one_digit_is_refused(algorithm: str) -> None:
    """Each place with each of the fifteen other digits: no part of a digest may go uncompared."""
    digest = server()
    nonce = nonce_of(digest)
    right = _right_response(authorization(nonce, algorithm=algorithm))
    for place, digit in enumerate(right):
        for other in set("0123456789abcdef") - {digit}:
            forged = right[:place] + other + right[place + 1 :]
            outcome = verify(digest, register(authorization(nonce, algorithm=algorithm, response=forged)))
            assert (outcome.user, outcome.reason) == (None, "wrong user or password"), (place, other)
    assert verify(digest, register(authorization(nonce, algorithm=algorithm))).user == USER


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_a_response_that_only_begins_or_ends_right_is_refused(algorithm: str) -> None:
    digest = server()
    nonce = nonce_of(digest)
    right = _right_response(authorization(nonce, algorithm=algorithm))
    cut = [right[:length] for length in range(1, len(right))] + [right[length:] for length in range(1, len(right))]
    longer = [right + "0", "0" + right, right + right, right + " ", " " + right, right + ",", right[:-1] + "\u0130"]
    for forged in cut + longer:
        assert verify(digest, register(authorization(nonce, algorithm=algorithm, response=forged))).user is None, forged
    assert verify(digest, register(authorization(nonce, algorithm=algorithm))).user == USER


def test_the_response_of_one_algorithm_is_no_answer_to_the_other() -> None:
    digest = server()
    nonce = nonce_of(digest)
    md5 = _right_response(authorization(nonce, algorithm="MD5"))
    for forged in (md5, md5 + md5):
        assert verify(digest, register(authorization(nonce, algorithm="SHA-256", response=forged))).user is None
    sha256 = _right_response(authorization(nonce, algorithm="SHA-256"))
    for forged in (sha256, sha256[:32], sha256[32:]):
        assert verify(digest, register(authorization(nonce, algorithm="MD5", response=forged))).user is None


@pytest.mark.parametrize(
    "change",
    [{"cnonce": "c0ffef"}, {"cnonce": "c0ffe"}, {"nc": "00000002"}, {"username": "alicf"}, {"username": "Alice"}],
)
def test_a_response_covers_every_parameter_beside_it(change: dict[str, str]) -> None:
    digest = server()
    nonce = nonce_of(digest)
    right = _right_response(authorization(nonce))
    assert verify(digest, register(authorization(nonce, **change, response=right))).user is None


@pytest.mark.parametrize("realm", ["pbx.exampl", "pbx.examplf", "pbx.example ", "PBX.example", "pbx.example.example"])
def test_a_realm_that_is_nearly_ours_is_another_one(realm: str) -> None:
    digest = server()
    assert verify(digest, register(authorization(nonce_of(digest), realm=realm))).reason == "no credentials"


def test_an_answer_for_another_method_is_refused() -> None:
    digest = server()
    message = register(authorization(nonce_of(digest), method="REGISTER"), method="INVITE")
    assert verify(digest, message).user is None


@pytest.mark.parametrize(
    "value",
    [
        'Digest realm="pbx.example", realm="pbx.example"',
        "Digest realm",
        'Digest realm="pbx.example", a b=1',
        'Digest realm="pbx.example',
        'Digest realm="pbx.example",',
        "Digest ",
        "Digest " + ",".join(f"p{n}=1" for n in range(40)),
        'Digest realm="pbx.example", username="' + "x" * 1000 + '"',
    ],
)
def test_malformed_credentials_are_refused(value: str) -> None:
    assert verify(server(), register(value)).reason == "malformed credentials"


def test_only_some_header_fields_are_looked_at() -> None:
    digest = server()
    message = register()
    for _ in range(auth.MAX_CREDENTIALS):
        message = message.with_added([("Authorization", authorization("theirs", realm="carrier"))])
    message = message.with_added([("Authorization", authorization(nonce_of(digest)))])
    assert verify(digest, message).user is None


def test_as_many_parameters_as_allowed_are_read() -> None:
    digest = server()
    extra = "".join(f", p{n}=1" for n in range(auth.MAX_DIGEST_PARAMS - 9))
    assert verify(digest, register(authorization(nonce_of(digest)) + extra)).user == USER


def test_the_claimed_name_is_short_and_printable() -> None:
    value = authorization(nonce_of(server()), username="x" * 400 + "\udce9")
    assert len(verify(server(), register(value)).claimed) == auth.MAX_CLAIMED
    assert verify(server(), register(authorization("n", username="\udce9"))).claimed == "\ufffd"


# Memory


def test_only_proven_nonces_take_memory() -> None:
    digest = server()
    for _ in range(50):
        verify(digest, register(authorization(nonce_of(digest), password="guess")))
    assert len(digest._used) == 0
    verify(digest, register(authorization(nonce_of(digest))))
    assert len(digest._used) == 1


def test_a_forgotten_nonce_stays_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_NONCES", 4)
    digest = server()
    nonces = [nonce_of(digest, now=float(second)) for second in range(6)]
    for count, nonce in enumerate(nonces[:4], 1):
        assert verify(digest, register(authorization(nonce)), 6.0).user == USER
        assert len(digest._used) == count
    assert verify(digest, register(authorization(nonces[4])), 6.0).user == USER
    assert len(digest._used) <= 4
    for nonce in nonces[:5]:
        assert verify(digest, register(authorization(nonce)), 7.0).user is None
    assert verify(digest, register(authorization(nonces[5])), 7.0).user == USER


def test_expired_nonces_are_forgotten_without_making_living_ones_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_NONCES", 4)
    digest = server()
    for second in range(4):
        verify(digest, register(authorization(nonce_of(digest, now=float(second)))), 4.0)
    early = nonce_of(digest, now=400.0)
    assert verify(digest, register(authorization(nonce_of(digest, now=401.0))), 401.0).user == USER
    assert len(digest._used) == 1
    assert verify(digest, register(authorization(early)), 402.0).user == USER


@settings(deadline=None)
@given(st.text(alphabet='Digest realm="pbx.example",username=nonceuriqop\\ \t<>', max_size=120))
def test_any_authorization_gives_an_outcome(text: str) -> None:
    message = register()
    message = message.with_added([("Authorization", text)])
    message = message.with_added([("Authorization", f'Digest realm="{REALM}",{text}')])
    assert verify(server(), message).user is None
