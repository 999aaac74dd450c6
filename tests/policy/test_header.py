from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.keying import Keying
from gateway.base.profiles import Profile
from gateway.base.values import LegId
from gateway.policy.header import HEADER_NAME, report_of
from gateway.policy.model import effective_policy
from gateway.policy.posture import CallPosture, SecurityVector
from tests.policy.vectors import VECTORS, browser, trunk


def posture(*vectors: SecurityVector) -> CallPosture:
    made = CallPosture()
    for number, vector in enumerate(vectors, start=1):
        made.update(LegId(number), vector)
    return made


def call_security_header(*legs: Any, **facts: Any) -> str:
    return report_of(*legs, **facts).header


def test_the_header_tells_grade_legs_and_policy_in_one_line() -> None:
    legs = browser(keying=Keying.PENDING), trunk("sdes")
    policy = effective_policy(Profile.STRICT, "pbx")
    value = call_security_header(posture(*legs), policy, *legs, seq=2, call_id="c-81f")
    assert HEADER_NAME == "Call-Security"
    assert value == (
        'grade=HOP_BY_HOP;worst=HOP_BY_HOP;scope="to pbx";browser="dtls,pending,wss";'
        'trunk="sdes,AES_CM_128_HMAC_SHA1_80,tls1.2,verified";rec=no;seq=2;'
        f'policy="{policy.label}";id=c-81f'
    )


def test_a_trunk_nothing_is_known_of_is_pending() -> None:
    policy = effective_policy(Profile.STRICT, "pbx")
    value = call_security_header(posture(browser()), policy, browser(), None, seq=0, call_id="c")
    assert ';trunk="pending";' in value


def test_the_worst_grade_stays_in_the_header() -> None:
    made = posture(browser(), trunk("plain"))
    made.update(LegId(2), trunk("sdes"))
    policy = effective_policy(Profile.PREFER, "pbx")
    value = call_security_header(made, policy, browser(), trunk("sdes"), seq=3, call_id="c")
    assert value.startswith("grade=HOP_BY_HOP;worst=CLEARTEXT;")


@pytest.mark.parametrize(
    ("lost", "told"), [({"browser"}, ";lost=browser"), ({"trunk"}, ";lost=trunk"), ({"browser", "trunk"}, ";lost=both")]
)
def test_sound_that_is_lost_is_told_behind_everything_else(lost: set[str], told: str) -> None:
    policy = effective_policy(Profile.STRICT, "pbx")
    value = call_security_header(posture(browser()), policy, browser(), None, seq=0, call_id="c", lost=frozenset(lost))
    assert value.endswith(f";id=c{told}")


def test_people_read_the_display_name_of_the_trunk() -> None:
    policy = effective_policy(Profile.STRICT, "pbx-1")
    value = call_security_header(posture(browser()), policy, browser(), None, seq=0, call_id="c", next_hop="Büro, Köln")
    assert ';scope="to Büro, Köln";' in value


def test_another_browser_at_the_other_end_is_named() -> None:
    policy = effective_policy(Profile.STRICT, "pbx")
    far = call_security_header(
        posture(browser()), policy, browser(), browser(), seq=0, call_id="c", lost=frozenset({"trunk"})
    )
    assert far.endswith(";id=c;far=browser;lost=trunk")
    for other in (trunk("sdes"), None):
        assert "far=" not in call_security_header(posture(browser()), policy, browser(), other, seq=0, call_id="c")


SHAPE = re.compile(
    r"grade=[A-Z_]+;worst=[A-Z_]+;"
    r'scope="[^"\\;]*";browser="[^"\\;]*";trunk="[^"\\;]*";'
    r'rec=no;seq=\d+;policy="[a-z]+/[0-9a-f]{4}";id=[A-Za-z0-9\-.!%*_+`\'~]+(;far=browser)?'
    r'(;codes="[a-z_.,]+")?'
)


@given(VECTORS, st.none() | VECTORS, st.text(), st.text(), st.integers())
def test_no_name_can_break_out_of_its_value(
    one: SecurityVector, other: SecurityVector | None, trunk_name: str, call_id: str, seq: int
) -> None:
    policy = effective_policy(Profile.STRICT, trunk_name)
    value = call_security_header(posture(one), policy, one, other, seq=seq, call_id=call_id)
    assert SHAPE.fullmatch(value)
    assert len(value.split(";")) == 9 + (";far=browser" in value) + (";codes=" in value)
    assert value.isprintable()
    assert value.encode()
    assert len(value) < 1024
