"""A configuration in which the PBX registers the browsers."""

from __future__ import annotations

import pytest

from gateway.base.values import HostPort
from gateway.config.compile import compile_registration
from tests.config.files import Files
from tests.config.test_load import files, load, mistakes, only_mistake
from tests.rig.issuing import ec_jwk, jwks

__all__ = ["files"]

LISTENER = '"tcp:127.0.0.1:5060"'


def relayed(files: Files, settings: str = "relay: carrier", *, users: str = "") -> Files:
    files.gateway = files.gateway.replace("users: users.yaml", f"registration: {{{settings}}}{users}")
    return files


def test_the_registrar_takes_the_place_of_the_users_file(files: Files) -> None:
    loaded = load(relayed(files))
    assert loaded.users.users == {}
    site = loaded.site
    assert site.registration is not None
    assert site.registration.trunk == "carrier"
    assert site.registration.address == HostPort("127.0.0.1", 5060)
    assert (site.registration.path, site.registration.max_expires, site.registration.unregister) == (False, 600, True)


def test_everything_that_is_written_counts(files: Files) -> None:
    settings = (
        "relay: carrier, reached_by: path, address: gw.example.com:5070, realm: asterisk, max_expires: 120, "
        "unregister: false"
    )
    found = load(relayed(files, settings)).site.registration
    assert found is not None
    assert (found.address, found.path, found.realm) == (HostPort("gw.example.com", 5070), True, "asterisk")
    assert (found.max_expires, found.unregister) == (120, False)


def test_a_listener_on_every_address_is_reached_where_media_of_that_trunk_is(files: Files) -> None:
    files.gateway = files.gateway.replace("udp:127.0.0.1:5060", "udp:0.0.0.0:5060").replace(
        "trunk: {bind: 127.0.0.1,", "trunk: {bind: 127.0.0.1, advertise: 203.0.113.9,"
    )
    found = load(relayed(files)).site.registration
    assert found is not None
    assert found.address == HostPort("203.0.113.9", 5060)


def test_rules_may_name_users_only_the_pbx_knows(files: Files) -> None:
    files.dialplan = files.dialplan.replace("user: alice", "user: whoever")
    assert load(relayed(files)).site.dialplan.inbound[0].user == "whoever"


def test_a_rule_may_ring_whoever_has_the_name_that_was_dialled(files: Files) -> None:
    """Who is there is known when she is looked for."""
    files.dialplan = files.dialplan.replace("outbound:\n", 'outbound:\n  - {id: people, dialled: "p*", user: "*"}\n')
    found = load(relayed(files)).site.dialplan.route_outbound("peter")
    assert found is not None
    assert found.user == "peter"


def test_somebody_must_know_the_users(files: Files) -> None:
    files.gateway = files.gateway.replace("users: users.yaml\n", "")
    error = only_mistake(files)
    assert error.key == "users"
    assert "registration" in error.remedy


def test_not_both_know_them(files: Files) -> None:
    relayed(files, users="\nusers: users.yaml")
    assert only_mistake(files).key == "users"


def test_tokens_prove_nothing_where_the_pbx_does(files: Files) -> None:
    (files.directory / "keys.json").write_bytes(jwks(ec_jwk("e1")))
    relayed(files, users="\ntokens: [{issuer: https://login.example.com/, audience: gw, keys_file: keys.json}]")
    assert only_mistake(files).key == "tokens"


def test_the_registrar_must_be_a_trunk(files: Files) -> None:
    error = only_mistake(relayed(files, "relay: pxb"))
    assert error.key == "registration.relay"
    assert "pbx, carrier" in error.remedy


def test_the_registrar_must_be_able_to_call(files: Files) -> None:
    files.gateway = files.gateway.replace("    networks: [198.51.100.0/24]\n", "")
    assert "trunks.carrier.networks" in [error.key for error in mistakes(relayed(files))]


def test_the_registrar_asks_the_browsers_and_not_the_gateway(files: Files) -> None:
    """Else the gateway would lend its own name to whoever calls."""
    files.gateway = files.gateway.replace(
        "security: prefer", "security: prefer\n    auth: {user: gw, password: secret}"
    )
    assert only_mistake(relayed(files)).key == "trunks.carrier.auth"


def test_the_registrar_must_be_able_to_reach_a_listener(files: Files) -> None:
    error = only_mistake(relayed(files, "relay: pbx"))
    assert error.key == "registration.address"
    assert "tls:" in error.remedy
    files.gateway = files.gateway.replace("{relay: pbx}", '{relay: pbx, address: "gw.example.com:5061"}')
    assert load(files).site.registration is not None


@pytest.mark.parametrize("key", ["strip: 1", 'prefix: "0"'])
def test_a_rule_to_the_registrar_rewrites_nothing_for_the_digest_covers_it(files: Files, key: str) -> None:
    name = key.partition(":")[0]
    files.dialplan = files.dialplan.replace("trunk: carrier}", f"trunk: carrier, {key}}}")
    assert only_mistake(relayed(files)).key == f"outbound[0].{name}"


def test_digests_in_the_clear_are_warned_of(files: Files) -> None:
    assert any("guess passwords" in warning for warning in load(relayed(files)).warnings)


@pytest.mark.parametrize("address", ["gw.example.com", "gw.example.com:0", ":5060", "a b:5060"])
def test_an_address_is_host_and_port(files: Files, address: str) -> None:
    error = only_mistake(relayed(files, f'relay: carrier, address: "{address}"'))
    assert error.key is not None
    assert error.key.startswith("registration.address")


def test_what_has_mistakes_is_not_compiled(files: Files) -> None:
    with pytest.raises(ValueError, match="registrar"):
        compile_registration(load(files).config)
