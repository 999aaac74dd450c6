"""What trunks must prove to call in: told when it cannot be proved, and when it does not tell them apart."""

from __future__ import annotations

import pytest

from tests.config.files import Files
from tests.config.test_load import files, load, only_mistake
from tests.config.test_references import two_trunks

__all__ = ["files"]

TLS = 'target: "sip:192.0.2.10;transport=tls"'
UDP = "target: sip:192.0.2.10, security: legacy"
HERE = "networks: [192.0.2.10/32]"
NORTH = "inbound: {user: north, password: a}"
SOUTH = "inbound: {user: south, password: b}"
CERTIFIED = "inbound: {certificate: yes}"
A, B = "tls: {names: [a.example]}", "tls: {names: [b.example]}"
WILD_A = "tls: {names: [a.example], wildcards: yes}"
WILD_B = "tls: {names: [b.example], wildcards: yes}"
PIN_A, PIN_B = (f"tls: {{pin_sha256: {digit * 64}}}" for digit in "ab")
EITHER_NORTH = "inbound: {user: north, password: a, certificate: yes, require: any}"
EITHER_SOUTH = "inbound: {user: south, password: b, certificate: yes, require: any}"


def at(files: Files, one: str, other: str, *, listens: bool = True) -> Files:
    """Two trunks, and whether there is a listener that asks them for a certificate."""
    two_trunks(files, one, other, client_ca=True)
    if listens:
        files.gateway = files.gateway.replace('"tcp:127.0.0.1:5060"', '"tls:127.0.0.1:5061"')
    return files


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{UDP}, {HERE}, {NORTH}", f"{UDP}, {HERE}, {SOUTH}"),
        (f"{TLS}, {HERE}, {NORTH}", f"{TLS}, {HERE}, {SOUTH}"),
        (f"{TLS}, {HERE}, {A}, {CERTIFIED}", f"{TLS}, {HERE}, {B}"),
        (f"{UDP}, {HERE}, {A}, {CERTIFIED}", f"{UDP}, {HERE}, {B}"),
        (f"{TLS}, {HERE}, {PIN_A}, {CERTIFIED}", f"{TLS}, {HERE}, {PIN_B}, {CERTIFIED}"),
        (f"{TLS}, {HERE}, {A}, {EITHER_NORTH}", f"{TLS}, {HERE}, {B}, {EITHER_SOUTH}"),
        (f"{TLS}, networks: [0.0.0.0/0], {NORTH}", f"{TLS}, networks: [0.0.0.0/0], {SOUTH}"),
    ],
    ids=["digest", "digest over TLS", "certificate or none", "certificate on UDP", "pins", "either", "anywhere"],
)
def test_trunks_at_one_address_may_be_told_apart_by_what_they_prove(files: Files, one: str, other: str) -> None:
    assert load(at(files, one, other)).warnings == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{UDP}, {HERE}, {NORTH}", f"{UDP}, {HERE}"),
        (f"{UDP}, {HERE}", f"{UDP}, {HERE}, {NORTH}"),
        (f"{TLS}, {HERE}, {A}, {CERTIFIED}", f"{TLS}, {HERE}, {A}"),
        (f"{TLS}, {HERE}, {WILD_A}, {CERTIFIED}", f"{TLS}, {HERE}, {WILD_B}, {CERTIFIED}"),
        (f"{TLS}, {HERE}, {PIN_A}, {CERTIFIED}", f"{TLS}, {HERE}, {PIN_A}, {CERTIFIED}"),
        (f"{TLS}, {HERE}, {A}, {EITHER_NORTH}", f"{TLS}, {HERE}, {A}, {EITHER_SOUTH}"),
        (f"{UDP}, {HERE}, {EITHER_NORTH}", f"{UDP}, {HERE}"),
    ],
    ids=[
        "one has no password",
        "the other has none",
        "one name",
        "one wildcard for both",
        "one pin",
        "one certificate for both, and that is enough",
        "one proves nothing",
    ],
)
def test_trunks_at_one_address_that_stay_ambiguous_are_refused(files: Files, one: str, other: str) -> None:
    error = only_mistake(at(files, one, other))
    assert (error.key, error.message) == ("trunks.carrier.networks[0]", "trunk pbx has the same network")
    assert error.line == 12
    assert "user and password of `inbound`" in error.remedy


def test_a_user_name_belongs_to_one_trunk(files: Files) -> None:
    error = only_mistake(at(files, f"{UDP}, {HERE}, {NORTH}", f"{UDP}, networks: [192.0.2.20/32], {NORTH}"))
    assert (error.key, error.message) == ("trunks.carrier.inbound.user", "trunk pbx has the same user")


def test_a_trunk_that_proves_itself_needs_networks_all_the_same(files: Files) -> None:
    error = only_mistake(at(files, f"{UDP}, {NORTH}", f"{UDP}, {HERE}"))
    assert (error.key, error.line) == ("trunks.pbx.inbound", 11)
    assert "0.0.0.0/0" in error.remedy


def test_a_trunk_we_register_at_calls_in_without_networks_and_may_have_to_prove_itself(files: Files) -> None:
    registered = "registrations: [{user: acme}], auth: {user: acme, password: a}"
    at(files, f"{UDP}, {registered}, {NORTH}", f"{UDP}, {HERE}")
    assert load(files).warnings == (), "calls for its inbound rule do come"


def test_a_certificate_nobody_asks_for_cannot_be_shown(files: Files) -> None:
    error = only_mistake(at(files, f"{UDP}, {HERE}, {CERTIFIED}", UDP, listens=False))
    assert (error.key, error.message) == ("trunks.pbx.inbound.certificate", "no listener asks for a certificate")
    assert "listen.tls.client_ca" in error.remedy


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("user: north", "user and password belong together"),
        ("password: a", "user and password belong together"),
        ("require: all", "expected user and password, or certificate: yes"),
        ("user: north, password: a, require: any", "require: any needs both"),
        ("certificate: yes, require: any", "require: any needs both"),
        ("user: 'a\"b', password: a", "printable ASCII"),
        ("user: 'a\\\\b', password: a", "printable ASCII"),
        ("user: '', password: a", "printable ASCII"),
        ("user: '\u0430', password: a", "printable ASCII"),
        ("user: north, password: ''", "empty"),
    ],
)
def test_a_proof_that_cannot_be_given_is_refused_with_its_place(files: Files, keys: str, words: str) -> None:
    files.gateway = files.gateway.replace('transport=tls",', f'transport=tls", inbound: {{{keys}}},', 1)
    error = only_mistake(files)
    assert str(error.key).startswith("trunks.pbx.inbound")
    assert words in error.message
    assert error.line == 10


def test_the_password_of_a_trunk_comes_from_the_environment_and_is_never_printed(files: Files) -> None:
    files.environ["TRUNK_PASSWORD"] = "correct horse"
    keys = "user: north, password: '${TRUNK_PASSWORD}'"
    files.gateway = files.gateway.replace('transport=tls",', f'transport=tls", inbound: {{{keys}}},', 1)
    loaded = load(files)
    assert "correct horse" not in repr(loaded.config) + repr(loaded.site.trunks["pbx"])
    assert loaded.site.trunks["pbx"].inbound is not None


def test_a_network_of_everybody_is_told_of_only_where_nothing_is_to_be_proved(files: Files) -> None:
    files.gateway = files.gateway.replace("[198.51.100.0/24]", "[0.0.0.0/0]")
    assert any("every address may call in" in warning for warning in load(files).warnings)
    files.gateway = files.gateway.replace("    security: prefer", f"    security: prefer\n    {NORTH}")
    assert load(files).warnings == ()
