"""What is different is told in the words of the files: every kind of key, no secret, and in records no person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.audit.clean import MAX_ITEMS
from gateway.audit.notices import policy_loaded
from gateway.config import schema
from gateway.config.load import LoadedConfig
from gateway.reload.difference import differences, fingerprint, for_record
from tests.sites import FILES

CANARY = "canary-secret-K2"
ONE, OTHER = "0a" * 16, "0b" * 16
RULES: list[dict[str, Any]] = [
    {"id": "r1", "dialled": "1*", "trunk": "pbx"},
    {"id": "r2", "dialled": "2*", "user": "alice"},
]


def user(ha1: str = ONE, **settings: object) -> dict[str, object]:
    return {"realm": "example.test", "ha1_md5": ha1, "ha1_sha256": ha1 * 2, **settings}


def loaded(
    trunks: dict[str, Any] | None = None,
    users: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    **settings: object,
) -> LoadedConfig:
    pbx = {"pbx": {"target": "sip:192.0.2.1", "security": "legacy"}}
    config = schema.GatewayConfig.model_validate({**FILES, "trunks": pbx if trunks is None else trunks, **settings})
    people = schema.UsersFile.model_validate({"users": {"alice": user()} if users is None else users})
    dialplan = schema.DialplanFile.model_validate({"outbound": RULES} if plan is None else plan)
    return LoadedConfig(config, people, dialplan, schema.PolicyFile.model_validate(policy or {}))


def told(*arguments: Any, **settings: Any) -> list[str]:
    return [str(change) for change in differences(loaded(), loaded(*arguments, **settings))]


def test_what_is_the_same_is_no_difference() -> None:
    assert told() == []
    assert fingerprint(loaded()) == fingerprint(loaded())


@pytest.mark.parametrize(
    ("trunk", "words"),
    [
        ({"target": "sip:192.0.2.1", "security": "prefer"}, ["trunks.pbx.security: legacy -> prefer"]),
        ({"target": "sip:192.0.2.2", "security": "legacy"}, ["trunks.pbx.target: sip:192.0.2.1 -> sip:192.0.2.2"]),
        ({"target": "sip:192.0.2.1", "security": "legacy", "max_calls": 3}, ["trunks.pbx.max_calls: changed"]),
        ({"target": "sip:192.0.2.1", "security": "legacy", "keepalive": 30}, ["trunks.pbx.keepalive: 60 -> 30"]),
        ({"target": "sip:192.0.2.1", "security": "legacy", "rtcp_mux": "yes"}, ["trunks.pbx.rtcp_mux: no -> yes"]),
        (
            {"target": "sip:192.0.2.1", "security": "legacy", "networks": ["192.0.2.0/24"]},
            ["trunks.pbx.networks: [] -> [192.0.2.0/24]"],
        ),
        (
            {"target": "sip:192.0.2.1", "security": "legacy", "auth": {"user": "acme", "password": CANARY}},
            ["trunks.pbx.auth: added"],
        ),
    ],
)
def test_a_changed_trunk_is_told_of_key_by_key(trunk: dict[str, Any], words: list[str]) -> None:
    expected = ["trunks.pbx.max_calls: added"] if "max_calls" in trunk else words
    assert told({"pbx": trunk}) == expected


def test_trunks_and_rules_that_come_and_go_are_told_of_by_their_name() -> None:
    new = {"new": {"target": "sip:192.0.2.9", "security": "legacy"}}
    assert told(new) == ["trunks.pbx: removed", "trunks.new: added"]
    assert told(plan={"outbound": RULES[:1]}) == ["dialplan.outbound.r2: removed"]
    assert told(plan={"outbound": RULES[::-1]}) == ["dialplan.outbound: in another order"]
    other = [{**RULES[0], "trunk": "carrier"}, RULES[1]]
    assert told(plan={"outbound": other}) == ["dialplan.outbound.r1.trunk: pbx -> carrier"]


def test_a_secret_that_changed_is_told_of_and_never_shown() -> None:
    before = loaded({"pbx": {"target": "sip:a.example", "auth": {"user": "acme", "password": CANARY + "1"}}})
    after = loaded({"pbx": {"target": "sip:a.example", "auth": {"user": "acme", "password": CANARY + "2"}}})
    changes = differences(before, after)
    assert [str(change) for change in changes] == ["trunks.pbx.auth.password: changed"]
    assert CANARY not in repr(changes)
    assert fingerprint(before) == fingerprint(after)  # a weak secret could be guessed from a hash over it


def test_a_user_is_named_on_the_terminal_and_counted_in_the_record() -> None:
    after = {"alice": user(OTHER), "bob": user(), "carol": user(number="+4930123456")}
    changes = differences(loaded(users={"alice": user(), "dave": user()}), loaded(users=after))
    words = [str(change) for change in changes]
    assert {"users.dave: removed", "users.bob: added", "users.carol: added"} < set(words)
    assert "users.alice.ha1_md5: changed" in words
    assert for_record(changes) == ["users: 2 added", "users: 1 removed", "users: 1 changed"]
    assert ONE not in repr(changes)
    assert OTHER not in repr(changes)


def test_what_people_are_called_and_dialled_by_is_not_shown() -> None:
    groups = [{"groups": {"sales": {"members": [name]}}} for name in ("alice", "bob")]
    before, after = (loaded(plan=plan) for plan in groups)
    assert [str(change) for change in differences(before, after)] == ["dialplan.groups.sales.members: changed"]


def test_rules_floors_and_exceptions_of_the_policy_are_told_of_by_their_id() -> None:
    rule = {"id": "r1", "match": {"trunk": "pbx"}, "profile": "strict"}
    assert told(policy={"rules": [rule]}) == ["policy.rules.r1: added"]
    before, after = loaded(policy={"rules": [rule]}), loaded(policy={"rules": [{**rule, "profile": "legacy"}]})
    assert [str(change) for change in differences(before, after)] == ["policy.rules.r1.profile: strict -> legacy"]
    assert fingerprint(before) != fingerprint(after)


def test_every_other_file_and_section_is_compared_too() -> None:
    assert told(log_level="DEBUG") == ["log_level: INFO -> DEBUG"]
    assert told(limits={"calls": 5}) == ["limits.calls: 1000 -> 5"]
    assert told(dns={"servers": ["192.0.2.53:53"]}) == ["dns.servers: [] -> [192.0.2.53:53]"]
    assert told(audit={"directory": "elsewhere"}) == ["audit.directory: changed"]
    long = [f"https://page{number}.example.test" for number in range(9)]
    web = {"address": "127.0.0.1:8443", "origins": long}
    assert told(listen={"web": web, "sip": ["udp:127.0.0.1:5060"]}) == ["listen.web.origins: changed"]


def test_the_hash_is_another_one_for_any_other_configuration() -> None:
    found = {
        fingerprint(loaded()),
        fingerprint(loaded(log_level="DEBUG")),
        fingerprint(loaded({})),
        fingerprint(loaded(users={})),
        fingerprint(loaded(plan={})),
    }
    assert len(found) == 5


def test_a_record_holds_so_many_changes_and_the_number_of_the_others() -> None:
    record = policy_loaded([], config_sha256="ab", by="admin", changes=[f"trunks.t{n}: added" for n in range(1000)])
    changes = record["changes"]
    assert isinstance(changes, list)
    assert (len(changes), record["more_changes"]) == (MAX_ITEMS, 1000 - MAX_ITEMS)
    assert len(json.dumps(record)) < 10_000
