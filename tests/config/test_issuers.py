"""Issuers of tokens in the configuration: each mistake at its key, before anybody signs in."""

from __future__ import annotations

import pytest

from tests.config.files import Files
from tests.config.test_load import files, load, mistakes, only_mistake
from tests.rig.issuing import ec_jwk, jwks

__all__ = ["files"]
GOOD = "issuer: https://login.example.com/, audience: gw"


def issuers(files: Files, *lines: str) -> Files:
    (files.directory / "keys.json").write_bytes(jwks(ec_jwk("e1")))
    files.gateway += "tokens:\n" + "".join(f"  - {{{line}}}\n" for line in lines)
    return files


def test_an_issuer_by_file_and_one_by_url_are_what_is_written(files: Files) -> None:
    issuers(
        files,
        f"{GOOD}, keys_file: keys.json, cookie: __Host-session",
        "issuer: other, audience: gw, keys_url: https://k.example.com/jwks, authorization_server: https://a.example.com",
    )
    one, other = load(files).site.tokens
    assert (one.keys, one.cookie, one.anyone, one.claim) == (
        files.directory / "keys.json",
        "__Host-session",
        False,
        "sub",
    )
    assert one.authorization_server == "https://login.example.com/"
    assert (other.keys, other.authorization_server) == ("https://k.example.com/jwks", "https://a.example.com")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (f"{GOOD}, keys_url: http://login.example.com/keys", "tokens[0].keys_url"),
        (f"{GOOD}, keys_url: file:///etc/passwd", "tokens[0].keys_url"),
        (f"{GOOD}, keys_url: 'https://user:secret@login.example.com/keys'", "tokens[0].keys_url"),
        (f"{GOOD}, keys_url: 'https://login.example.com/a b'", "tokens[0].keys_url"),
        (f"{GOOD}, keys_url: 'https:///keys'", "tokens[0].keys_url"),
        (f"{GOOD}, keys_file: nothing.json", "tokens[0].keys_file"),
        (f"{GOOD}, keys_file: plan.yaml", "tokens[0].keys_file"),
        (f"{GOOD}, keys_url: https://a.example.com/k, keys_ca: nothing.pem", "tokens[0].keys_ca"),
        (f"{GOOD}, keys_url: https://a.example.com/k, keys_ca: plan.yaml", "tokens[0].keys_ca"),
        (f"{GOOD}, keys_file: keys.json, keys_ca: plan.yaml", "tokens[0]"),
        (GOOD, "tokens[0]"),
        (f"{GOOD}, keys_file: keys.json, keys_url: https://a.example.com/k", "tokens[0]"),
        ("issuer: me, audience: gw, keys_file: keys.json", "tokens[0]"),
        (f"{GOOD}, keys_file: keys.json, cookie: 'a b'", "tokens[0].cookie"),
        (f"{GOOD}, keys_file: keys.json, leeway_seconds: 3000", "tokens[0].leeway_seconds"),
        (f"{GOOD}, keys_file: keys.json, algorithms: [HS256]", "tokens[0].algorithms"),
        ("issuer: https://a.example.com, audience: '', keys_file: keys.json", "tokens[0].audience"),
    ],
)
def test_a_mistake_is_told_at_its_key(files: Files, line: str, key: str) -> None:
    assert only_mistake(issuers(files, line)).key == key


def test_two_issuers_of_one_name_cannot_be_told_apart(files: Files) -> None:
    line = f"{GOOD}, keys_file: keys.json"
    assert only_mistake(issuers(files, line, line)).key == "tokens[1].issuer"


def test_without_a_users_file_the_issuer_must_be_believed_who_the_users_are(files: Files) -> None:
    files.gateway = files.gateway.replace("users: users.yaml\n", "")
    files.dialplan = files.dialplan.replace("user: alice", "user: dora")
    issuers(files, f"{GOOD}, keys_file: keys.json, users: any")
    site = load(files).site
    assert site.users == {}
    found = site.dialplan.route_outbound("dora")
    assert found is not None
    assert found.user == "dora"
    assert site.dialplan.route_outbound("4711") is None, "a number needs a rule"
    files.gateway = files.gateway.replace("users: any", "users: listed")
    assert {error.key for error in mistakes(files)} == {"users", "tokens[0].users"}
