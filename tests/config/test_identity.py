"""Identity in the configuration: what is told with file, line, key and remedy, and what reaches a call."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.cli.users import UserStore, make_user
from tests.config.files import Files, make_certificate
from tests.config.test_load import files, load, only_mistake

__all__ = ["files"]


def carrier(files: Files, text: str) -> Files:
    """The carrier with these keys."""
    files.gateway = files.gateway.replace("    security: prefer\n", f"    security: prefer\n    {text}\n")
    return files


def of_alice(files: Files, text: str) -> Files:
    files.users = files.users.replace("    realm: pbx.example.com\n", f"    realm: pbx.example.com\n    {text}\n")
    return files


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("identity: {from: fixed}", "identity", "needs `number`"),
        ("identity: {from: anybody}", "identity.from", "fixed"),
        ("identity: {fron: user}", "identity.fron", "unknown key"),
        ("identity: {from_: user}", "identity.from_", "unknown key"),
        ("identity: {number: 'a b'}", "identity.number", "number or account"),
        ("identity: {domain: 'a b'}", "identity.domain", "domain name"),
        ("identity: {privacy: maybe}", "identity.privacy", ""),
        ("contact: 'https://x'", "contact", "domain name"),
        ("pass_headers: [Via]", "pass_headers[0]", "never passed on"),
        ("pass_headers: [X-One, authorization]", "pass_headers[1]", "never passed on"),
        ("pass_headers: [v]", "pass_headers[0]", "never passed on"),
        ("pass_headers: [Call-Security]", "pass_headers[0]", "never passed on"),
        ("pass_headers: ['X One']", "pass_headers[0]", "never passed on"),
    ],
)
def test_a_mistake_about_identity_is_told_with_its_key(files: Files, text: str, key: str, words: str) -> None:
    error = only_mistake(carrier(files, text))
    assert error.key == f"trunks.carrier.{key}"
    assert words in error.message
    assert error.line == 15
    assert error.remedy


def test_a_key_that_is_nearly_right_is_suggested_as_it_is_written(files: Files) -> None:
    assert only_mistake(carrier(files, "identity: {fron: user}")).remedy == "did you mean `from`?"


@pytest.mark.parametrize("number", ["12 34", "*97", "030x", "+", "+4930*1"])
def test_a_users_number_can_be_called_back(files: Files, number: str) -> None:
    assert only_mistake(of_alice(files, f"number: '{number}'")).key == "users.alice.number"


def test_a_users_number_is_one_where_people_dial(files: Files) -> None:
    files.dialplan = 'country: "49"\n' + files.dialplan
    error = only_mistake(of_alice(files, "numbers: ['030123', '000123']"))
    assert (error.key, error.message) == ("users.alice.numbers[1]", "this is no telephone number")


def test_numbers_are_known_in_one_spelling(files: Files) -> None:
    files.dialplan = 'country: "49"\n' + files.dialplan
    of_alice(files, "number: '030123'\n    numbers: ['0030123', '004930123', '+4930124']\n    display_name: Alice E.")
    person = load(files).site.person("alice")
    assert (person.numbers, person.name) == (("+4930123", "+30123", "+4930124"), "Alice E.")
    assert load(files).site.person("nobody").numbers == ()


def test_a_new_password_leaves_number_and_name(files: Files) -> None:
    of_alice(files, "number: '+4930123'\n    numbers: ['+4930124']\n    display_name: Älice O'Hara")
    files.write()
    path = files.directory / "users.yaml"
    store, before = UserStore.load(path), UserStore.load(path).users["alice"]
    store.users = {"alice": make_user("alice", "pbx.example.com", "another password", before)}
    store.save()
    again = UserStore.load(path).users["alice"]
    assert (again.number, again.numbers, again.display_name) == ("+4930123", ("+4930124",), "Älice O'Hara")
    assert again.ha1_md5 != before.ha1_md5


def named_certificate(directory: Path, *names: str) -> None:
    """A certificate for our `tls:` listener with these names."""
    made, key = make_certificate(directory)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    old = x509.load_pem_x509_certificate(made.read_bytes())
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    built = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(private.public_key())
        .serial_number(2)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .add_extension(alternative, critical=False)
    )
    made.write_bytes(built.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        (("sbc.example.com",), False),
        (("*.example.com",), False),
        (("SBC.example.com", "x"), False),
        (("other.example.com",), True),
        (("*.sbc.example.com",), True),
        ((), True),
    ],
)
def test_a_name_in_contact_that_no_certificate_of_ours_has_is_a_warning(
    files: Files, names: tuple[str, ...], warned: bool
) -> None:
    if names:
        named_certificate(files.directory, *names)
    else:
        make_certificate(files.directory)
    secured = "tls: {certificate: server.pem, key: server.key}"
    files.gateway = files.gateway.replace("media:\n", f"  {secured}\nmedia:\n", 1)
    found = [warning for warning in load(carrier(files, "contact: SBC.example.com")).warnings if "contact" in warning]
    assert [":16: trunks.carrier.contact" in warning for warning in found] == ([True] if warned else [])
