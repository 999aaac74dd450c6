"""A dialplan read as a whole: what can never match, what is named and missing, what means nothing here."""

from __future__ import annotations

import pytest

from gateway.base.errors import ConfigError
from gateway.config.schema.dialplan import MAX_NAMED
from tests.config.files import Files
from tests.config.test_load import files, load, mistakes, only_mistake

__all__ = ["files"]


def plan(files: Files, text: str) -> Files:
    """The whole dialplan."""
    files.dialplan = text
    return files


def told(files: Files, text: str) -> list[tuple[str | None, int | None]]:
    """Key and line of every mistake."""
    return [(error.key, error.line) for error in mistakes(plan(files, text))]


def one(files: Files, text: str) -> ConfigError:
    return only_mistake(plan(files, text))


HEAD = "emergency: []\n"


def two(first: str, second: str) -> str:
    """A plan of two rules."""
    rules = (
        f'  - {{id: {name}, dialled: "{dialled}", trunk: pbx}}\n' for name, dialled in (("a", first), ("b", second))
    )
    return f"{HEAD}outbound:\n{''.join(rules)}"


GERMAN = HEAD + 'country: "49"\n'


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("+49*", "+49[1-9]X."),
        ("X.", "NXX"),
        ("[0-5]X", "[2-3]5"),
        ("*", "bob"),
        ("**", "*97"),
    ],
)
def test_a_rule_whose_pattern_an_earlier_one_contains_is_told(files: Files, first: str, second: str) -> None:
    error = one(files, two(first, second))
    assert (error.key, error.line) == ("outbound[1].dialled", 4)
    assert f"rule a ({first})" in error.message
    assert "narrower rule first" in error.remedy


def test_a_rule_that_earlier_ones_leave_nothing_together_is_told(files: Files) -> None:
    named = enumerate(("0[0-4]X", "0[5-9]X", "0XX"))
    rules = "".join(f'  - {{id: r{n}, dialled: "{dialled}", trunk: pbx}}\n' for n, dialled in named)
    error = one(files, f"{HEAD}outbound:\n{rules}")
    assert error.key == "outbound[2].dialled"
    assert "together" in error.message


@pytest.mark.parametrize(
    ("first", "second"), [("+49[1-9]X.", "+49*"), ("*", "*97"), ("NXX", "XXX"), ("0X.", "0."), ("0.", "0X*")]
)
def test_a_narrower_rule_above_a_wider_one_is_no_mistake(files: Files, first: str, second: str) -> None:
    load(plan(files, two(first, second)))


@pytest.mark.parametrize("dialled", ["030*", "0049*", "0[1-9]X.", "00.", "0.", "0900"])
def test_a_rule_for_numbers_as_they_are_dialled_never_matches_where_there_is_a_country(
    files: Files, dialled: str
) -> None:
    error = one(files, f'{GERMAN}outbound:\n  - {{id: a, dialled: "{dialled}", trunk: pbx}}\n')
    assert error.key == "outbound[0].dialled"
    assert "+49" in error.remedy


@pytest.mark.parametrize("dialled", ["+49*", "110", "[0-9]X.", "0", "2001", "*0*", "bob"])
def test_other_rules_do_match_there(files: Files, dialled: str) -> None:
    load(plan(files, f'{GERMAN}outbound:\n  - {{id: a, dialled: "{dialled}", trunk: pbx}}\n'))


def test_a_short_number_that_begins_with_the_prefix_of_a_country_is_none_of_its_telephone_numbers(files: Files) -> None:
    text = f'{HEAD}country: "1"\ntrunk_prefix: "1"\ninternational_prefix: "011"\nnational_digits: 10\n'
    load(plan(files, text + 'outbound:\n  - {id: a, dialled: "10XX", trunk: pbx}\n'))
    assert one(files, text + 'outbound:\n  - {id: a, dialled: "1900*", trunk: pbx}\n').key == "outbound[0].dialled"


@pytest.mark.parametrize(
    "dialled", ["1.2", "30-12", "+", "+1#", "+1234567890123456", "-.", "1" * 25, "[3]-1", "a" * 65]
)
def test_an_exact_number_that_none_is_once_it_is_read_is_told(files: Files, dialled: str) -> None:
    error = one(files, f'{HEAD}outbound:\n  - {{id: a, dialled: "{dialled}", trunk: pbx}}\n')
    assert (error.key, error.line) == ("outbound[0].dialled", 3)


@pytest.mark.parametrize("dialled", ["j.doe", "a-b", "1_", "*97", "#31#", "12.", "[3]1", "+49", "x" * 64])
def test_an_exact_number_or_name_that_can_be_dialled_is_none_of_them(files: Files, dialled: str) -> None:
    load(plan(files, f'{HEAD}outbound:\n  - {{id: a, dialled: "{dialled}", trunk: pbx}}\n'))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("countries: [49]", "countries"),
        ("national_digits: 10", "national_digits"),
        ("permissions: [{id: p, deny: [international]}]", "permissions[0].deny[0]"),
        ("permissions: [{id: p, allow: [national]}]", "permissions[0].allow[0]"),
    ],
)
def test_what_needs_a_country_says_so(files: Files, text: str, key: str) -> None:
    error = one(files, f"{HEAD}{text}\n")
    assert error.key == key
    assert "country: 49" in error.remedy


def test_a_trunk_that_writes_national_numbers_needs_a_country(files: Files) -> None:
    files.gateway = files.gateway.replace("security: prefer", "security: prefer\n    number_format: national")
    error = only_mistake(files)
    assert error.key == "country"
    assert "trunk carrier" in error.message
    plan(files, f'{GERMAN}outbound:\n  - {{id: a, dialled: "+49*", trunk: carrier}}\n')
    load(files)


def test_a_list_of_countries_without_the_own_one_is_told(files: Files) -> None:
    assert one(files, f"{GERMAN}countries: [43]\n").key == "countries"
    load(plan(files, f"{GERMAN}countries: [4930, 43]\n"))


@pytest.mark.parametrize("country", ["+49", "049", "", "4x", "1234567"])
def test_a_country_is_digits_that_begin_with_none_of_zero(files: Files, country: str) -> None:
    error = one(files, f'{HEAD}country: "{country}"\n')
    assert error.key == "country"
    assert "for example 49" in error.message


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("outbound: [{id: a, dialled: 5, group: sales}]", "outbound[0].group", "there is no group sales"),
        ("inbound: [{id: a, dialled: 5, group: sales}]", "inbound[0].group", "there is no group sales"),
        ("permissions: [{id: a, groups: [sales], deny: [local]}]", "permissions[0].groups[0]", "there is no group"),
        ("permissions: [{id: a, users: [zoe], deny: [local]}]", "permissions[0].users[0]", "there is no user 'zoe'"),
        ("permissions: [{id: a, users: ['*'], deny: [local]}]", "permissions[0].users[0]", "nobody's name"),
        ("permissions: [{id: a, deny: [premiun]}]", "permissions[0].deny[0]", "there is no class premiun"),
        ("groups: {sales: {members: [alice, zoe]}}", "groups.sales.members[1]", "there is no user 'zoe'"),
        ("groups: {sales: {members: [alice, alice]}}", "groups.sales.members[1]", "named once"),
        ("groups: {sales: {members: ['*']}}", "groups.sales.members[0]", "one user"),
        ("groups: {sales: {members: []}}", "groups.sales.members", ""),
        ("groups: {sales: {members: [alice], ring: round}}", "groups.sales.ring", ""),
        ("classes: {local: ['1X']}", "classes.local", "is there already"),
        (f"classes: {{p: [{', '.join(map(str, range(1000, 1001 + MAX_NAMED)))}]}}", "classes.p", "at most 200"),
        ("groups: {'a b': {members: [alice]}}", "groups.a b", "expected 1 to 32"),
        ("classes: {X1: ['1X']}", "classes.X1", "small letter"),
        ("classes: {p: ['1[']}", "classes.p[0]", "set"),
        ("outbound: [{id: a, dialled: '1[9-1]', trunk: pbx}]", "outbound[0].dialled", "set"),
        ("inbound: [{id: a, dialled: 5, to_trunk: gone, trunk: pbx}]", "inbound[0].to_trunk", "there is no trunk gone"),
        ("inbound: [{id: a, dialled: 5, to_trunk: pbx}]", "inbound[0]", "names the `trunk`"),
        ("inbound: [{id: a, dialled: 5, to_trunk: pbx, trunk: pbx}]", "inbound[0]", "go back"),
        ("inbound: [{id: a, dialled: 5, user: alice, strip: 1}]", "inbound[0]", "to_trunk"),
        ("inbound: [{id: a, dialled: 5, user: alice, group: g}]", "inbound[0]", "one of"),
        ("permissions: [{id: a}]", "permissions[0]", "either"),
        ("permissions: [{id: a, allow: [local], deny: [names]}]", "permissions[0]", "either"),
    ],
)
def test_what_is_named_must_be_there(files: Files, text: str, key: str, words: str) -> None:
    error = one(files, f"{HEAD}{text}\n")
    assert error.key == key
    assert words in error.message
    assert error.line == 2
    assert error.remedy


def test_an_emergency_number_rings_no_group(files: Files) -> None:
    text = "emergency_trunks: [pbx]\ngroups: {g: {members: [alice]}}\noutbound: [{id: a, dialled: 112, group: g}]\n"
    assert one(files, text).key == "outbound[0].group"


@pytest.mark.parametrize(
    ("first", "second", "shadowed"),
    [
        ("deny: ['*']", "allow: ['1X']", True),
        ("deny: ['*']", "allow: ['*97']", False),
        ("deny: [local]", "allow: [local]", True),
        ("deny: [local, names]", "allow: [local]", True),
        ("deny: [local]", "allow: ['1X']", False),
        ("users: [alice], deny: ['*']", "allow: ['1X']", False),
        ("deny: ['*']", "users: [alice], allow: ['1X']", True),
        ("groups: [g], deny: ['*']", "users: [alice], allow: ['1X']", True),
        ("users: [alice], deny: ['*']", "groups: [g], allow: ['1X']", True),
    ],
)
def test_a_permission_that_never_decides_is_told(files: Files, first: str, second: str, shadowed: bool) -> None:
    text = f"{HEAD}groups: {{g: {{members: [alice]}}}}\npermissions:\n  - {{id: a, {first}}}\n  - {{id: b, {second}}}\n"
    if shadowed:
        assert told(files, text) == [("permissions[1]", 5)]
    else:
        load(plan(files, text))


def test_ids_are_unique_among_rules_and_permissions(files: Files) -> None:
    text = f"{HEAD}permissions: [{{id: a, deny: [local]}}]\noutbound: [{{id: a, dialled: 5, trunk: pbx}}]\n"
    assert one(files, text).key == "outbound[0].id"


def test_what_is_written_is_what_the_call_meets(files: Files) -> None:
    text = (
        f"{GERMAN}classes: {{premium: ['+49900X.']}}\ngroups: {{g: {{members: [alice], ring: in_turn, seconds: 9}}}}\n"
        "permissions:\n  - {id: p, groups: [g], deny: [premium, features]}\n"
        "outbound:\n  - {id: all, dialled: '+*', trunk: carrier}\n  - {id: star, dialled: '**', trunk: carrier}\n"
    )
    site = load(plan(files, text)).site
    for dialled, allowed in (("0900123", False), ("*97", False), ("0301", True)):
        route = site.dialplan.route_outbound(dialled)
        assert route is not None
        assert site.dialplan.permits("alice", route) is allowed
        assert site.dialplan.permits("bob", route)
    assert site.dialplan.groups["g"].seconds == 9
