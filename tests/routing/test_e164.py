"""One number, however it is dialled; and each trunk gets it as it wants it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.numbers import MAX_INTERNATIONAL, is_number

GERMANY = Home("49")
US = Home("1", "1", "011", 10)
SPAIN = Home("34", "", "00", 9)
ITALY = Home("39", "", "00", 6)
RUSSIA = Home("7", "8", "810", 10)


@pytest.mark.parametrize(
    ("home", "dialled", "number"),
    [
        (GERMANY, "0301234", "+49301234"),
        (GERMANY, "0049301234", "+49301234"),
        (GERMANY, "+49301234", "+49301234"),
        (GERMANY, "+490301234", "+49301234"),
        (GERMANY, "00490301234", "+49301234"),
        (GERMANY, "0033123456789", "+33123456789"),
        (GERMANY, "0900123456", "+49900123456"),
        (GERMANY, "0049900123456", "+49900123456"),
        (GERMANY, "2001", "2001"),
        (GERMANY, "0", "0"),
        (GERMANY, "110", "110"),
        (US, "12125550100", "+12125550100"),
        (US, "2125550100", "+12125550100"),
        (US, "01144207946", "+44207946"),
        (US, "1001", "1001"),
        (US, "19005550100", "+19005550100"),
        (SPAIN, "912345678", "+34912345678"),
        (SPAIN, "80312345678", "+3480312345678"),
        (SPAIN, "2001", "2001"),
        (ITALY, "0612345678", "+390612345678"),
        (RUSSIA, "84951234567", "+74951234567"),
        (RUSSIA, "81033123456789", "+33123456789"),
        (RUSSIA, "+78001234567", "+78001234567"),
        (Home(), "0301234", "0301234"),
        (Home(), "+49301234", "+49301234"),
    ],
)
def test_what_is_dialled_becomes_one_number(home: Home, dialled: str, number: str) -> None:
    assert home.international(dialled) == number
    assert home.international(number) == number


@pytest.mark.parametrize("dialled", ["000123", "00" + "1" * 16, "0" + "1" * 14, "+0301234", "+49" + "1" * 15])
def test_what_begins_like_a_telephone_number_and_is_none_has_no_spelling(dialled: str) -> None:
    assert GERMANY.international(dialled) == ""


@pytest.mark.parametrize("dialled", ["alice", "*97", "#31#0301234", "0*21#", "*0049900"])
def test_names_and_feature_codes_stay_as_they_are(dialled: str) -> None:
    assert GERMANY.international(dialled) == dialled


@given(st.text(alphabet="0123456789", min_size=1, max_size=20), st.sampled_from([GERMANY, US, SPAIN, ITALY, RUSSIA]))
def test_no_spelling_of_a_number_leads_past_its_rule(digits: str, home: Home) -> None:
    """What is dialled with a prefix is E.164 afterwards, or nothing."""
    for prefix in (home.international_prefix, home.trunk_prefix):
        read = home.international(prefix + digits)
        long = len(prefix + digits) >= max(home.national_digits + len(prefix), len(prefix) + 1)
        if prefix and long and prefix + digits != home.international_prefix:
            assert read == "" or (read.startswith("+") and is_number(read))
            assert len(read) <= MAX_INTERNATIONAL + 1


@pytest.mark.parametrize(
    ("home", "number", "form", "written"),
    [
        (GERMANY, "+49301234", NumberFormat.E164, "49301234"),
        (GERMANY, "+49301234", NumberFormat.PLUS_E164, "+49301234"),
        (GERMANY, "+49301234", NumberFormat.NATIONAL, "0301234"),
        (GERMANY, "+33123456", NumberFormat.NATIONAL, "0033123456"),
        (GERMANY, "+33123456", None, "+33123456"),
        (US, "+12125550100", NumberFormat.NATIONAL, "12125550100"),
        (US, "+44207946", NumberFormat.NATIONAL, "01144207946"),
        (SPAIN, "+34912345678", NumberFormat.NATIONAL, "912345678"),
        (GERMANY, "2001", NumberFormat.E164, "2001"),
        (GERMANY, "*97", NumberFormat.NATIONAL, "*97"),
        (GERMANY, "112", NumberFormat.E164, "112"),
        (GERMANY, "alice", NumberFormat.E164, "alice"),
        (Home(), "+49301234", NumberFormat.NATIONAL, "49301234"),
    ],
)
def test_a_trunk_gets_numbers_as_it_writes_them(
    home: Home, number: str, form: NumberFormat | None, written: str
) -> None:
    assert home.written(number, form) == written


@pytest.mark.parametrize(
    ("number", "form", "read"),
    [
        ("49301234", NumberFormat.E164, "+49301234"),
        ("33123456789", NumberFormat.E164, "+33123456789"),
        ("2001", NumberFormat.E164, "2001"),
        ("0301234567", NumberFormat.E164, "+49301234567"),
        ("0301234", NumberFormat.NATIONAL, "+49301234"),
        ("+49301234", NumberFormat.NATIONAL, "+49301234"),
        ("0301234", None, "+49301234"),
        ("000301234", None, "000301234"),
        ("alice", NumberFormat.E164, "alice"),
    ],
)
def test_numbers_of_a_trunk_are_read_as_it_writes_them(number: str, form: NumberFormat | None, read: str) -> None:
    assert GERMANY.read(number, form) == read


@given(
    st.sampled_from([GERMANY, US, SPAIN, ITALY]),
    st.sampled_from(NumberFormat),
    st.text(alphabet="123456789", min_size=10, max_size=11),
)
def test_what_a_trunk_gets_is_read_as_what_was_meant(home: Home, form: NumberFormat, digits: str) -> None:
    number = home.international(f"+{digits}")
    if not (form is NumberFormat.NATIONAL and home.is_national(number)):
        assert home.read(home.written(number, form), form) == number
