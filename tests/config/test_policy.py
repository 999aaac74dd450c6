"""The policy file: read whole, refused with its place and a remedy for whatever does not mean what it seems to."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.errors import ConfigError
from gateway.base.grades import Grade
from gateway.policy.facts import Direction
from gateway.policy.model import Fallback, OfferMode
from gateway.site import Site
from tests.config.files import Files
from tests.config.test_load import files, load, mistakes, only_mistake
from tests.policy.facts import facts

__all__ = ["files"]

POLICY = """\
version: 1
timezone: Europe/Berlin
networks: {office: [10.20.0.0/16], pbx: [192.0.2.10/32]}
dial_sets:
  emergency: ["112", "110"]
  premium: ["+49900*", "+4918[0-5]*"]
suites: {modern: [AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80]}
profiles:
  transition:
    require: CLEARTEXT
    prefer: HOP_BY_HOP
    media: {offer: [sdes], fallback: retry, suites: modern, min_key_bits: 128, min_tag_bits: 80, srtcp: require}
    deny: [gw.key_leak]
    on_downgrade: {notify: no, tone: insecure_beep, alert: low}
  sos: {require: CLEARTEXT, never_block: yes}
rules:
  - {id: sos, match: {direction: out, dialled: {set: emergency}}, profile: sos}
  - {id: premium, match: {direction: out, dialled: {set: premium}}, action: reject}
  - {id: open, match: {trunk: carrier, time: "Mon-Fri 08:00-18:00", user_group: [sales]}, profile: transition}
  - {id: pbx, match: {trunk: pbx, source: {net: pbx}}, profile: transition}
floors:
  - {id: finance, match: {user_group: [finance]}, require: HOP_BY_HOP, deny: [gw.plain_access]}
  - {id: wan, match: {not: {source: {net: office}}, direction: in}, suites: [AEAD_AES_256_GCM], srtcp: require}
exceptions:
  - {id: e1, match: {trunk: pbx, user_group: finance}, require: CLEARTEXT, owner: it, reason: due, expires: 2027-03-31}
"""

GROUPS = 'emergency: ["112", "110"]\ngroups: {sales: {members: [alice]}, finance: {members: [alice]}}\ninbound:'


@pytest.fixture
def written(files: Files) -> Files:
    files.policy, files.dialplan = POLICY, files.dialplan.replace("inbound:", GROUPS)
    return files


def changed(written: Files, old: str, new: str) -> ConfigError:
    """The only mistake there is when the policy file has this in place of that."""
    assert old in written.policy
    written.policy = written.policy.replace(old, new)
    return only_mistake(written)


def site(written: Files) -> Site:
    return load(written).site


def test_a_profile_of_the_file_has_what_is_written_and_else_what_it_is_like(written: Files) -> None:
    rules = site(written).policies.profiles["transition"]
    assert (rules.require, rules.prefer, rules.offer) == (Grade.CLEARTEXT, Grade.HOP_BY_HOP, OfferMode.SAVP_FIRST)
    assert (rules.fallback, rules.accepts_plain, rules.sdes_needs_verified_tls) == (Fallback.RETRY, True, False)
    assert rules.suites == ("AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80")
    assert (rules.min_key_bits, rules.min_tag_bits, rules.srtcp_required) == (128, 80, True)
    assert rules.deny == {Code.GW_KEY_LEAK}
    assert (rules.notify, rules.tone, rules.alert) == (False, "insecure_beep", "low")


@pytest.mark.parametrize(
    ("text", "offer", "fallback", "plain"),
    [
        ("{}", OfferMode.SAVP_ONLY, Fallback.NEVER, False),
        ("{like: prefer}", OfferMode.SAVP_FIRST, Fallback.RETRY, True),
        ("{like: prefer, require: HOP_BY_HOP}", OfferMode.SAVP_ONLY, Fallback.NEVER, False),
        ("{like: legacy}", OfferMode.AVP, Fallback.NONE_NEEDED, True),
        ("{like: legacy, media: {offer: [sdes]}}", OfferMode.SAVP_ONLY, Fallback.NEVER, True),
        ("{require: CLEARTEXT, media: {fallback: osrtp}}", OfferMode.AVP_WITH_CRYPTO, Fallback.ANSWER, True),
        ("{require: CLEARTEXT, media: {offer: []}}", OfferMode.AVP, Fallback.NONE_NEEDED, True),
    ],
)
def test_what_a_profile_requires_decides_what_it_may_offer(
    written: Files, text: str, offer: OfferMode, fallback: Fallback, plain: bool
) -> None:
    written.policy = written.policy.replace("  sos:", f"  own: {text}\n  sos:")
    rules = site(written).policies.profiles["own"]
    assert (rules.offer, rules.fallback, rules.accepts_plain) == (offer, fallback, plain)


def test_the_example_of_the_page_decides_as_the_page_says(written: Files) -> None:
    book, sales = site(written).policies, frozenset({"sales"})
    # NOON is a Wednesday, 13:00 in Berlin.
    open_hours = book.decide(facts(trunk="carrier", groups=sales))
    assert (open_hours.profile, open_hours.rule_id) == ("transition", "open")
    evening = facts(trunk="carrier", groups=sales)
    later = book.decide(facts(trunk="carrier", groups=sales, at=evening.at.replace(hour=18)))
    assert (later.profile, later.rule_id) == ("prefer", "")
    assert book.decide(facts(dialled="+49900123")).reject == 403
    assert book.decide(facts(dialled="112", emergency=True)).profile == "sos"
    low = facts("192.0.2.10", trunk="pbx", groups=frozenset({"finance"}), at=evening.at.replace(year=2027, month=3))
    assert book.decide(low).exception_id == "e1"
    after = book.decide(facts("192.0.2.10", trunk="pbx", groups=frozenset({"finance"})))
    assert (after.rules.require, after.floors, after.exception_id) == (Grade.HOP_BY_HOP, ("finance",), "")
    wan = book.decide(facts("203.0.113.1", direction=Direction.IN))
    assert (wan.rules.suites, wan.floors) == (("AEAD_AES_256_GCM",), ("wan",))


def test_the_word_at_a_trunk_counts_before_the_default_of_the_file(written: Files) -> None:
    written.policy += "defaults: {profile: legacy}\n"
    words = site(written).policies.trunks
    assert words == {"pbx": "legacy", "carrier": "prefer"}


def test_a_trunk_may_name_a_profile_of_the_file(written: Files) -> None:
    written.gateway = written.gateway.replace("security: prefer", "profile: transition")
    assert site(written).policies.trunks["carrier"] == "transition"


@pytest.mark.parametrize(
    ("profile", "told"), [("transitoin", "there is no profile transitoin"), ("sos", "never_block is for emergency")]
)
def test_a_trunk_names_a_profile_there_is_and_that_blocks(written: Files, profile: str, told: str) -> None:
    written.gateway = written.gateway.replace("security: prefer", f"profile: {profile}")
    error = only_mistake(written)
    assert (error.key, error.file) == ("trunks.carrier.profile", str(written.directory / "gateway.yaml"))
    assert told in error.message


def test_a_trunk_has_one_word_and_not_two(written: Files) -> None:
    written.gateway = written.gateway.replace("security: prefer", "security: prefer\n    profile: transition")
    assert "either `security` or `profile`" in only_mistake(written).message


@pytest.mark.parametrize(
    ("old", "new", "key", "told"),
    [
        ("deny: [gw.key_leak]", "deny: [gw.keyleak]", "profiles.transition.deny[0]", "did you mean gw.key_leak?"),
        ("timezone: Europe/Berlin", "timezone: Europe/Bonn", "timezone", "no such time zone"),
        (
            "require: CLEARTEXT\n    prefer: HOP_BY_HOP",
            "require: END_TO_END",
            "profiles.transition.require",
            "HOP_BY_HOP",
        ),
        (
            "{user_group: [finance]}, require: HOP_BY_HOP",
            "{}, prefer: END_TO_END",
            "floors[0].prefer",
            "HOP_BY_HOP",
        ),
        ("id: premium", "id: sos", "rules[1].id", "duplicate id sos"),
        ("{id: wan", "{id: sos", "floors[1].id", "duplicate id sos"),
        ("{id: e1", "{id: wan", "exceptions[0].id", "duplicate id wan"),
        ("expires: 2027-03-31", "expires: 2026-05-31", "exceptions[0].expires", "expired on 2026-05-31"),
        ("expires: 2027-03-31", "expires: 1798761600", "exceptions[0].expires", "expected a day"),
        ("{trunk: carrier,", "{trunk: carier,", "rules[2].match.trunk", "there is no trunk carier"),
        ("[sales]", "[sale]", "rules[2].match.user_group[0]", "there is no group in the dialplan sale"),
        ("{set: premium}", "{set: premiums}", "rules[1].match.dialled.set", "there is no dial set premiums"),
        ("source: {net: pbx}", "source: {net: pxb}", "rules[3].match.source.net", "there is no network pxb"),
        ("suites: modern", "suites: moderne", "profiles.transition.media.suites", "there is no suite"),
        ("[AEAD_AES_256_GCM, AES", "[AEAD_AES_265_GCM, AES", "suites.modern[0]", "there is no such suite here"),
        (
            "source: {net: pbx}}, profile: transition",
            "source: {net: pbx}}, profile: trans",
            "rules[3].profile",
            "no profile",
        ),
        ("fallback: retry", "fallback: retyr", "profiles.transition.media.fallback", "should be 'never', 'retry'"),
        ("Mon-Fri 08:00-18:00", "Mo-Fri 08:00-18:00", "rules[2].match.time", "expected days as Mon"),
        ("Mon-Fri 08:00-18:00", "Mon-Fri 08:00-25:00", "rules[2].match.time", "from 00:00 to 24:00"),
        ("Mon-Fri 08:00-18:00", "Mon-Fri 8-18", "rules[2].match.time", "for example Mon-Fri 08:00-18:00"),
        ("{trunk: pbx, source", "{trnk: pbx, source", "rules[3].match.trnk", "unknown key"),
        ("action: reject}", "action: reject, sip: 401}", "rules[1].sip", "expected one of 403"),
        ("action: reject}", "profile: strict, sip: 480}", "rules[1]", "`sip` is for rules with `action: reject`"),
        (", action: reject}", "}", "rules[1]", "either `profile` or `action: reject`"),
        ("require: HOP_BY_HOP, deny: [gw.plain_access]", "deny: []", "floors[0]", "a floor asks for something"),
        ("require: CLEARTEXT, owner", "owner", "exceptions[0]", "an exception lowers something"),
        ("owner: it, ", "", "exceptions[0].owner", "a required key is missing"),
        ("version: 1", "version: 2", "version", "should be '1'"),
        ("  sos:", "  strict: {}\n  sos:", "profiles.strict", "this profile is built in"),
        (
            "{direction: out, dialled: {set: emergency}}",
            '{dialled: ["112", "911"]}',
            "rules[0].profile",
            "emergency numbers of the dialplan",
        ),
        (
            "{direction: out, dialled: {set: emergency}}",
            "{user: alice}",
            "rules[0].profile",
            "emergency numbers of the dialplan",
        ),
        (
            "{user_group: [finance]}, require",
            "{user: alicia}, require",
            "floors[0].match.user",
            "there is no user alicia",
        ),
    ],
)
def test_a_mistake_is_told_with_line_and_key(written: Files, old: str, new: str, key: str, told: str) -> None:
    line = written.policy[: written.policy.index(old)].count("\n") + 1
    error = changed(written, old, new)
    assert (error.key, error.line, error.file) == (key, line, str(written.directory / "policy.yaml"))
    assert told in error.message + error.remedy
    assert error.remedy


def test_a_profile_that_may_become_plain_requires_nothing(written: Files) -> None:
    error = changed(written, "require: CLEARTEXT\n", "require: PARTIAL\n")
    assert (error.key, error.line) == ("profiles.transition.media.fallback", 12)
    assert "cannot require PARTIAL" in error.message


@pytest.mark.parametrize(
    "match",
    [
        "{trunk: pbx, source: {net: 192.0.2.10/32}}",
        "{trunk: pbx, source: {net: pbx}, transport: tls}",
        '{direction: out, dialled: ["+491801", "+49900123"]}',
        '{trunk: carrier, user_group: sales, time: "Tue 09:00-10:00"}',
        '{trunk: carrier, user_group: sales, time: ["Mon 08:00-09:00", "Fri 17:00-18:00 Europe/Berlin"]}',
    ],
)
def test_a_rule_an_earlier_one_has_all_calls_of_is_refused(written: Files, match: str) -> None:
    written.policy = written.policy.replace("floors:", f"  - {{id: late, match: {match}, profile: strict}}\nfloors:")
    error = only_mistake(written)
    assert (error.key, error.line) == ("rules[4].match", 21)
    assert "can never match" in error.message


@pytest.mark.parametrize(
    "match",
    [
        "{trunk: pbx}",
        "{source: {net: pbx}}",
        '{dialled: ["+491801", "+49900123"]}',
        '{trunk: carrier, user_group: sales, time: "Tue 09:00-10:00 America/New_York"}',
        '{trunk: carrier, user_group: sales, time: "Fri 17:00-18:01"}',
        "{direction: out, not: {dialled: {set: premium}}}",
    ],
)
def test_a_rule_that_has_calls_of_its_own_is_not(written: Files, match: str) -> None:
    written.policy = written.policy.replace("floors:", f"  - {{id: late, match: {match}, profile: strict}}\nfloors:")
    assert site(written).policies.rules[-1].id == "late"


def test_an_exception_holds_to_the_end_of_its_day_where_the_clock_hangs(written: Files) -> None:
    (exception,) = site(written).policies.exceptions
    assert exception.expires.isoformat() == "2027-03-31T22:00:00+00:00"


def test_numbers_are_written_as_rules_see_them(written: Files) -> None:
    written.dialplan = "country: 49\n" + written.dialplan
    error = changed(written, '"+49900*"', '"0900*"')
    assert error.key == "dial_sets.premium"
    assert "+49" in error.remedy


def test_every_mistake_of_the_file_is_told_in_one_round(written: Files) -> None:
    for old, new in (("id: premium", "id: sos"), ("2027-03-31", "2020-01-01"), ("trunk: carrier", "trunk: gone")):
        written.policy = written.policy.replace(old, new)
    assert {error.key for error in mistakes(written)} == {
        "rules[1].id",
        "exceptions[0].expires",
        "rules[2].match.trunk",
    }


def test_a_policy_file_that_is_not_there_is_told_by_the_key_that_names_it(files: Files) -> None:
    files.gateway += "policy: gone.yaml\n"
    error = only_mistake(files)
    assert (error.key, "there is no file" in error.message) == ("policy", True)


def test_a_strict_trunk_over_udp_needs_a_rule_that_lets_calls_through(files: Files) -> None:
    files.gateway = files.gateway.replace("    security: prefer\n", "")
    assert only_mistake(files).key == "trunks.carrier.target"
    files.policy = "rules:\n  - {id: open, match: {trunk: [carrier]}, profile: prefer}\n"
    assert site(files).policies.trunks["carrier"] == "strict"


def test_users_of_issuers_are_not_known_before_they_sign_in(written: Files) -> None:
    written.policy = written.policy.replace("user_group: [finance]}, require", "user: somebody}, require")
    written.gateway = written.gateway.replace(
        "users: users.yaml\n", "registration: {relay: pbx, address: 127.0.0.1:5060}\n"
    )
    written.dialplan = written.dialplan.replace(", trunk: pbx}\n", "}\n")
    assert {error.key for error in mistakes(written)} & {"floors[0].match.user"} == set()
