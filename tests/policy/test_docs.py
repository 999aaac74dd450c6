"""The page for the security officer says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.policy.catalogue import CAPS, NEVER_TOLERABLE
from gateway.policy.model import BUILT_IN, Fallback

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
NAMED = [(code, row) for row in ROWS for code in re.findall(r"`([a-z]+\.[a-z_]+)`", row[0]) if code in set(Code)]
CODES = {code: [row for named, row in NAMED if named == code] for code, _ in NAMED}


@pytest.mark.parametrize("profile", list(Profile))
def test_the_page_has_the_row_of_each_profile(profile: Profile) -> None:
    row = next(row for row in ROWS if row[0] == f"`{profile}`")
    rules = BUILT_IN[profile]
    assert row[4:6] == [rules.require.name, rules.prefer.name]
    assert ("refused" in row[6]) == rules.sdes_needs_verified_tls
    assert ("refused" in row[7]) == (not rules.accepts_plain)
    assert ("second INVITE" in row[3]) == (rules.fallback is Fallback.RETRY)


def test_the_page_explains_every_grade() -> None:
    named = [row[0].strip("`") for row in ROWS]
    assert [name for name in named if name in Grade.__members__] == [grade.name for grade in Grade]


@pytest.mark.parametrize("code", sorted(NEVER_TOLERABLE))
def test_the_page_says_what_no_profile_tolerates(code: Code) -> None:
    row = CODES[code][-1]
    assert row[3] == row[4].split(",")[0]
    assert row[3] in ("refused", "line not used", "call ended")


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_page_names_the_grade_a_tolerated_code_leads_to(code: str) -> None:
    for row in CODES[code]:
        cell = row[4].split(",")[0]
        if cell in Grade.__members__ and Code(code) in CAPS:
            assert CAPS[Code(code)].name == cell


def test_every_code_is_on_the_page() -> None:
    assert set(map(Code, CODES)) == set(Code)
