"""Cross-references: names exist, files match, addresses do not collide."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.files import Files, make_certificate
from tests.config.test_load import files, load, mistakes, only_mistake

__all__ = ["files"]


def rule(files: Files, text: str) -> None:
    files.dialplan = files.dialplan.replace("inbound:\n", f"  - {text}\ninbound:\n")


def test_a_trunk_a_rule_names_must_exist(files: Files) -> None:
    rule(files, '{id: x, dialled: "2*", trunk: pxb}')
    error = only_mistake(files)
    assert (error.key, error.message) == ("outbound[2].trunk", "there is no trunk pxb")
    assert error.line == 5
    assert "pbx, carrier" in error.remedy


def test_emergency_trunks_must_exist(files: Files) -> None:
    files.dialplan = files.dialplan.replace("[carrier]", "[pbx, gone]")
    assert only_mistake(files).key == "emergency_trunks[1]"


def test_a_user_an_inbound_rule_names_must_exist(files: Files) -> None:
    files.dialplan += '  - {id: bob, dialled: "101", user: bob}\n'
    error = only_mistake(files)
    assert (error.key, error.message) == ("inbound[1].user", "there is no user 'bob'")
    assert "users add" in error.remedy


def test_a_star_as_user_needs_no_user_of_that_name(files: Files) -> None:
    files.dialplan += '  - {id: any, dialled: "2*", user: "*"}\n'
    assert load(files).dialplan.inbound[1].user == "*"


def test_a_user_an_outbound_rule_names_must_exist(files: Files) -> None:
    rule(files, '{id: ext, dialled: "2001", user: bob}')
    error = only_mistake(files)
    assert (error.key, error.message) == ("outbound[2].user", "there is no user 'bob'")
    assert "users add" in error.remedy


def test_an_outbound_rule_may_lead_to_a_user(files: Files) -> None:
    rule(files, '{id: ext, dialled: "2001", user: alice}')
    rule(files, '{id: names, dialled: "*", user: "*"}')
    site = load(files).site
    assert [found.user for dialled in ("2001", "alice") if (found := site.dialplan.route_outbound(dialled))] == [
        "alice",
        "alice",
    ]
    assert site.dialplan.route_outbound("bob") is None


def test_the_rule_of_an_emergency_number_leads_to_no_user(files: Files) -> None:
    files.dialplan = files.dialplan.replace('dialled: "1*"', 'dialled: "2*"')
    rule(files, '{id: guard, dialled: "112", user: alice}')
    error = only_mistake(files)
    assert (error.key, error.message) == ("outbound[2].user", "an emergency call goes to a trunk")
    assert "emergency_trunks" in error.remedy


def test_rule_ids_are_unique_across_both_directions(files: Files) -> None:
    files.dialplan += '  - {id: world, dialled: "101", user: alice}\n'
    error = only_mistake(files)
    assert (error.key, error.line) == ("inbound[1].id", 7)


@pytest.mark.parametrize("dialled", ["+49*", "+*", "112"])
def test_an_outbound_rule_that_can_never_match_is_told(files: Files, dialled: str) -> None:
    rule(files, f'{{id: late, dialled: "{dialled}", trunk: pbx}}')
    files.dialplan = files.dialplan.replace('dialled: "1*"', 'dialled: "11*"')
    assert "can never match" in only_mistake(files).message


def test_an_emergency_rule_below_a_broad_one_still_matches(files: Files) -> None:
    rule(files, '{id: sos, dialled: "112", trunk: pbx, emergency: "true"}')
    assert load(files).dialplan.outbound[2].emergency


def test_an_inbound_rule_is_shadowed_only_by_one_for_the_same_calls(files: Files) -> None:
    files.dialplan += '  - {id: b, dialled: "1*", user: alice}\n  - {id: c, dialled: "100", user: alice}\n'
    assert only_mistake(files).key == "inbound[2].dialled"
    files.dialplan = files.dialplan.replace('{id: c, dialled: "100"', '{id: c, dialled: "200"')
    load(files)


def test_the_same_number_from_another_trunk_is_another_call(files: Files) -> None:
    files.dialplan += '  - {id: b, dialled: "100", user: alice, trunk: carrier}\n'
    assert len(load(files).dialplan.inbound) == 2
    files.dialplan += '  - {id: c, dialled: "100", user: alice, trunk: pbx}\n'
    assert only_mistake(files).key == "inbound[2].dialled"


def test_a_network_belongs_to_one_trunk(files: Files) -> None:
    files.gateway = files.gateway.replace("[198.51.100.0/24]", "[198.51.100.0/24, 192.0.2.10/32]")
    files.gateway = files.gateway.replace("sip:sip.carrier.example", "sip:sip.carrier.example;transport=tls")
    error = only_mistake(files)
    assert (error.key, error.message) == ("trunks.carrier.networks[1]", "trunk pbx has the same network")
    assert error.line == 13
    assert "transport" in error.remedy


def two_trunks(files: Files, one: str, other: str, *, client_ca: bool = False) -> None:
    """Nothing but these two: an index of trunks that share a PBX."""
    head, _, tail = files.gateway.partition("  pbx:")
    tail = tail[tail.index("dialplan:") :]
    files.gateway = f"{head}  pbx: {{{one}}}\n  carrier: {{{other}}}\n{tail}"
    if client_ca:
        make_certificate(files.directory)
        secured = "tls: {certificate: server.pem, key: server.key, client_ca: server.pem}"
        files.gateway = files.gateway.replace("media:\n", f"  {secured}\nmedia:\n", 1)


HERE = "networks: [192.0.2.10/32]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # the transport tells them apart
        (f'target: "sip:192.0.2.10;transport=tls", {HERE}', f"target: sip:192.0.2.10, security: legacy, {HERE}"),
        # only one of them calls in
        (f'target: "sip:192.0.2.10;transport=tls", {HERE}', "target: sip:192.0.2.10, security: legacy"),
        (f"target: sip:192.0.2.10, security: legacy, {HERE}", "target: sip:192.0.2.10, security: prefer"),
        # neither does: each answers in its own dialogs
        ("target: sip:192.0.2.10, security: legacy", "target: sip:192.0.2.10, security: prefer"),
        # the narrower network decides
        (
            f"target: sip:192.0.2.10, security: legacy, {HERE}",
            "target: sip:192.0.2.20, security: prefer, networks: [192.0.2.0/24]",
        ),
        (
            f"target: sip:192.0.2.10, security: legacy, {HERE}",
            "target: sip:pbx.example, security: prefer, networks: [192.0.2.0/24]",
        ),
    ],
)
def test_trunks_at_one_address_that_can_be_told_apart_are_allowed(files: Files, one: str, other: str) -> None:
    two_trunks(files, one, other)
    load(files)


@pytest.mark.parametrize("client_ca", [True, False])
def test_trunks_over_tls_are_told_apart_by_name_where_clients_show_certificates(files: Files, client_ca: bool) -> None:
    named = 'target: "sip:192.0.2.10;transport=tls", networks: [192.0.2.10/32], tls: {{names: [{}]}}'
    two_trunks(files, named.format("a.example"), named.format("b.example"), client_ca=client_ca)
    if client_ca:
        load(files)
    else:
        assert "client_ca" in only_mistake(files).remedy
        two_trunks(files, named.format("a.example"), named.format("A.example"), client_ca=True)
        assert only_mistake(files).message == "trunk pbx has the same network"


@pytest.mark.parametrize("networks", ["192.0.2.0/24", "198.51.100.0/24"])
def test_a_trunk_whose_calls_would_count_as_another_trunks_is_refused(files: Files, networks: str) -> None:
    two_trunks(
        files,
        f"target: sip:pbx.example, security: legacy, {HERE}",
        f"target: sip:192.0.2.10, security: prefer, networks: [{networks}]",
    )
    error = only_mistake(files)
    assert error.key == "trunks.carrier.target"
    assert "calls from 192.0.2.10 would count as trunk pbx's" in error.message
    assert "add 192.0.2.10/32" in error.remedy


def test_a_trunk_over_udp_needs_a_udp_listener(files: Files) -> None:
    files.gateway = files.gateway.replace('"udp:127.0.0.1:5060", ', "")
    error = only_mistake(files)
    assert error.key == "trunks.carrier.target"
    assert "udp: listener" in error.message


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("tcp:127.0.0.1:5060", "tcp:0.0.0.0:8443", "listen.sip[1]"),
        ("tcp:127.0.0.1:5060", "udp:0.0.0.0:5060", "listen.sip[1]"),
        ("20000-20099", "10001-10100", "media.trunk.ports"),
        ("udp:127.0.0.1:5060", "udp:127.0.0.1:20010", "listen.sip[0]"),
        ("udp:127.0.0.1:5060", "udp:0.0.0.0:10001", "listen.sip[0]"),
    ],
)
def test_two_sockets_cannot_have_one_port(files: Files, old: str, new: str, key: str) -> None:
    files.gateway = files.gateway.replace(old, new)
    assert only_mistake(files).key == key


@pytest.mark.parametrize(
    ("bind", "listener", "key"),
    [
        ("127.0.0.2", "127.0.0.2:20010", "listen.sip[0]"),
        ("127.0.0.1", "127.0.0.1:5060", "trunks.carrier.media.bind"),
        ("127.0.0.3", "127.0.0.1:5060", None),
    ],
)
def test_the_media_address_of_one_trunk_is_compared_as_that_of_all(
    files: Files, bind: str, listener: str, key: str | None
) -> None:
    files.gateway = files.gateway.replace("127.0.0.1, ports: 20000-20099", "127.0.0.4, ports: 10000-20099")
    files.gateway = files.gateway.replace("udp:127.0.0.1:5060", f"udp:{listener}")
    files.gateway = files.gateway.replace("security: prefer", f"security: prefer\n    media: {{bind: {bind}}}")
    if key is None:
        load(files)
    else:
        assert only_mistake(files).key == key


def test_a_trunk_has_no_address_of_its_own_that_nobody_can_send_to(files: Files) -> None:
    files.gateway = files.gateway.replace("security: prefer", "security: prefer\n    media: {bind: 0.0.0.0}")
    error = only_mistake(files)
    assert (error.key, error.line) == ("trunks.carrier.media", 15)
    assert "needs advertise" in error.message


def test_a_nameserver_has_a_port_that_can_be_asked(files: Files) -> None:
    files.gateway += "dns: {servers: ['192.0.2.53:53', '192.0.2.54:0']}\n"
    error = only_mistake(files)
    assert error.key == "dns.servers"
    assert "port 0" in error.message


def test_ports_on_other_addresses_do_not_collide(files: Files) -> None:
    files.gateway = files.gateway.replace("udp:127.0.0.1:5060", "udp:127.0.0.2:20010")
    files.gateway = files.gateway.replace("tcp:127.0.0.1:5060", "tcp:127.0.0.2:8443")
    load(files)


def test_both_ip_versions_may_listen_on_one_port(files: Files) -> None:
    files.gateway = files.gateway.replace('"tcp:127.0.0.1:5060"', '"udp:[::]:5060"')
    load(files)


def test_a_user_of_another_realm_is_told(files: Files) -> None:
    files.users = files.users.replace("realm: pbx.example.com", "realm: other.example.com")
    error = only_mistake(files)
    assert error.key == "users.alice.realm"
    assert "--realm pbx.example.com" in error.remedy


def test_a_user_name_nobody_could_dial_is_told(files: Files) -> None:
    files.users += files.users.replace("users:\n", "").replace("alice", "al ice")
    assert only_mistake(files).key == "users.al ice"


def test_an_emergency_number_without_a_trunk_is_a_warning(files: Files) -> None:
    files.dialplan = files.dialplan.replace("emergency_trunks: [carrier]\n", "")
    (warning,) = load(files).warnings
    numbers = warning.partition("numbers ")[2]  # the directory of the test may have any number in its name
    assert "999" in numbers
    assert "112" not in numbers


def test_an_inbound_rule_for_a_trunk_that_cannot_call_in_is_a_warning(files: Files) -> None:
    files.gateway = files.gateway.replace(", networks: [192.0.2.10/32]", "")
    (warning,) = load(files).warnings
    assert "trunk pbx has no networks" in warning


def test_a_rule_whose_next_trunk_is_weaker_is_a_warning(files: Files) -> None:
    files.dialplan = files.dialplan.replace("trunk: carrier", "trunks: [pbx, {trunk: carrier, priority: 1}]", 1)
    (warning,) = [words for words in load(files).warnings if "do not take" in words]
    assert "go over carrier, as" in warning


def test_a_trunk_of_several_that_is_not_there_is_told_where_it_stands(files: Files) -> None:
    files.dialplan = files.dialplan.replace("trunk: carrier", "trunks: [pbx, nobody]", 1)
    mistake = only_mistake(files)
    assert (mistake.key, mistake.message) == ("outbound[0].trunks[1]", "there is no trunk nobody")


@pytest.mark.parametrize("targets", ["[sip:a.example;transport=tls, sip:b.example]", "[sips:a.example, sip:192.0.2.1]"])
def test_targets_of_one_trunk_are_all_over_tls_or_none(files: Files, targets: str) -> None:
    files.gateway = files.gateway.replace("target: sip:sip.carrier.example", f"targets: {targets}")
    assert any("must not lead into the clear" in mistake.message for mistake in mistakes(files))


def test_a_trunk_open_to_every_address_is_a_warning(files: Files) -> None:
    files.gateway = files.gateway.replace("198.51.100.0/24", "0.0.0.0/0")
    (warning,) = load(files).warnings
    assert "every address" in warning


def secured(files: Files, web: str) -> None:
    files.gateway = files.gateway.replace("{address", f"{{{web}, address", 1)


def test_a_matching_pair_is_accepted(files: Files) -> None:
    make_certificate(files.directory)
    secured(files, "certificate: server.pem, key: server.key")
    assert load(files).warnings == ()


@pytest.mark.parametrize(
    ("days", "words"), [((-9, -1), "expired on 2026-05-31"), ((2, 90), "is not valid before 2026-06-03")]
)
def test_a_certificate_outside_its_time_is_refused(files: Files, days: tuple[int, int], words: str) -> None:
    make_certificate(files.directory, days=days)
    secured(files, "certificate: server.pem, key: server.key")
    error = only_mistake(files)
    assert error.key == "listen.web.certificate"
    assert words in error.message
    assert error.line == 3


def test_a_certificate_about_to_expire_is_a_warning(files: Files) -> None:
    make_certificate(files.directory, days=(-9, 13))
    secured(files, "certificate: server.pem, key: server.key")
    (warning,) = load(files).warnings
    assert warning.endswith("gateway.yaml:3: listen.web.certificate: the certificate expires on 2026-06-14")


def test_a_key_of_another_certificate_is_refused(files: Files) -> None:
    make_certificate(files.directory)
    make_certificate(files.directory, "other")
    secured(files, "certificate: server.pem, key: other.key")
    error = only_mistake(files)
    assert (error.key, "does not belong" in error.message) == ("listen.web.key", True)


def test_files_that_are_missing_or_no_pem_are_told_together(files: Files) -> None:
    (files.directory / "junk.pem").write_text("junk")
    secured(files, "certificate: junk.pem, key: gone.key")
    first, second = mistakes(files)
    assert (first.key, "no readable PEM" in first.message) == ("listen.web.certificate", True)
    assert (second.key, "there is no file" in second.message) == ("listen.web.key", True)


@pytest.mark.parametrize(
    ("key_password", "given", "words"),
    [("", ", key_password: x", "not encrypted, but a password"), ("secret", "", "is encrypted")],
)
def test_a_password_is_given_exactly_when_the_key_needs_it(
    files: Files, key_password: str, given: str, words: str
) -> None:
    make_certificate(files.directory, password=key_password)
    secured(files, "certificate: server.pem, key: server.key" + given)
    assert words in only_mistake(files).message


def test_listener_and_trunk_certificates_are_checked_too(files: Files) -> None:
    make_certificate(files.directory, days=(-9, -1))
    pair = "certificate: server.pem, key: server.key"
    files.gateway = files.gateway.replace("media:\n", f"  tls: {{{pair}, client_ca: no.pem}}\nmedia:\n", 1)
    files.gateway = files.gateway.replace("security: prefer", f"security: prefer\n    tls: {{{pair}, ca: no.pem}}")
    assert [e.key for e in mistakes(files)] == [
        "listen.tls.certificate",
        "listen.tls.client_ca",
        "trunks.carrier.tls.certificate",
        "trunks.carrier.tls.ca",
    ]


def test_an_unreadable_certificate_is_told(files: Files) -> None:
    secured(files, "certificate: server.pem, key: server.key")
    (files.directory / "server.pem").write_bytes(b"x" * (5 << 20))
    Path(files.directory / "server.key").mkdir()
    assert ["larger than" in e.message or "no file" in e.message for e in mistakes(files)] == [True, True]


@pytest.mark.parametrize("target", ["sip:sip.carrier.example", "sip:sip.carrier.example;transport=tcp"])
def test_a_strict_trunk_that_could_carry_no_call_is_refused(files: Files, target: str) -> None:
    files.gateway = files.gateway.replace("sip:sip.carrier.example", target).replace("prefer", "strict")
    error = only_mistake(files)
    assert (error.key, error.line) == ("trunks.carrier.target", 12)
    assert "strict refuses every call" in error.message
    assert ";transport=tls" in error.remedy


def test_a_codec_name_that_sdp_does_not_know_is_refused(files: Files) -> None:
    files.gateway = files.gateway.replace("security: prefer", "security: prefer\n    codecs: [pcma, alaw]")
    error = only_mistake(files)
    assert (error.key, error.line) == ("trunks.carrier.codecs[1]", 15)
    assert "alaw PCMA" in error.remedy


def test_a_trunk_without_any_codec_of_browsers_is_refused(files: Files) -> None:
    files.gateway = files.gateway.replace("security: prefer", "security: prefer\n    codecs: [G729]")
    assert only_mistake(files).key == "trunks.carrier.codecs"
    files.gateway = files.gateway.replace("[G729]", "[G729, opus]")
    load(files)


@pytest.mark.parametrize("origins", ["[]", '["https://pbx.example.com"]', '["https://gw.test:8443"]'])
def test_a_page_that_is_no_origin_of_its_own_gateway_is_a_warning(files: Files, origins: str) -> None:
    start, rest = files.gateway.split("origins: [")
    files.gateway = f"{start}origins: {origins}{rest.partition(']')[2]}"
    (warning,) = load(files).warnings
    assert "gateway.yaml:" in warning
    assert "listen.web.origins: none is the gateway's own page, http://HOST:8443" in warning


@pytest.mark.parametrize(
    ("second", "twice"),
    [
        ("{user: acme}", True),
        ("{user: acme, domain: sip.carrier.example}", True),
        ("{user: acme, domain: SIP.Carrier.example}", True),
        ("{user: acme, domain: other.example}", False),
        ("{user: Acme}", False),
    ],
)
def test_an_address_is_registered_once_however_its_domain_is_known(files: Files, second: str, twice: bool) -> None:
    """The first has the domain of the target, sip.carrier.example."""
    keys = f"registrations: [{{user: acme}}, {second}]"
    files.gateway = files.gateway.replace("security: prefer", f"security: prefer\n    {keys}")
    if twice:
        error = only_mistake(files)
        assert (error.key, "registered already" in str(error)) == ("trunks.carrier.registrations[1]", True)
    else:
        load(files)


def test_two_users_whose_names_differ_in_case_alone_are_one_too_many(files: Files) -> None:
    alice = files.users.partition("users:\n")[2]
    files.users += alice.replace("alice", "Alice")
    assert only_mistake(files).key == "users.Alice"
