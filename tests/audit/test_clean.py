from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.clean import MAX_ITEMS, MAX_TEXT, cleaned, cleaned_text
from gateway.base.grades import Grade
from gateway.base.termination import Termination
from gateway.base.values import Secret

ANY_TEXT = st.text(st.characters(), max_size=400) | st.text(
    st.sampled_from("\ud800\u2028\x00\n\r\x1b\u202ea\\inline:İ")
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.binary(max_size=8)
    | st.sampled_from([Grade.PARTIAL, Termination.SHUTDOWN, Secret("hush"), Path("/x"), object()]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Zoë Müller 电话 😀", "Zoë Müller 电话 😀"),
        ("a\r\nb", "a\\x0d\\x0ab"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("line\u2028separator", "line\\u2028separator"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("half \ud83d surrogate", "half \\ud83d surrogate"),
        ("", ""),
    ],
)
def test_unprintable_characters_become_visible(text: str, clean: str) -> None:
    assert cleaned_text(text) == clean


def test_a_megabyte_of_text_is_cut_to_a_line() -> None:
    short = cleaned_text("A" * 1_000_000)
    assert len(short) == MAX_TEXT
    assert short.endswith("…")
    assert len(cleaned_text("\x00" * 1_000_000)) == MAX_TEXT


@pytest.mark.parametrize("before", ["", "1 AES_CM_128_HMAC_SHA1_80 ", "İİİİİİİİİİİİİİİİİİİİİİİİİ", "\ud800\u2028"])
@pytest.mark.parametrize("mark", ["inline:", "INLINE:", "InLine:"])
def test_a_key_that_a_peer_put_in_the_wrong_place_is_cut_off(before: str, mark: str) -> None:
    assert "d0Rmdm" not in cleaned_text(f"{before}{mark}d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20")


def test_numbers_no_json_reader_takes_are_not_written() -> None:
    assert cleaned([float("nan"), float("inf"), 2**70, True, 1.5]) == [None, None, "<int>", True, 1.5]


def test_unknown_objects_are_reduced_to_their_type() -> None:
    assert cleaned({"a": Secret("hush"), "b": b"raw", "c": object()}) == {
        "a": "<Secret>",
        "b": "<bytes>",
        "c": "<object>",
    }
    assert cleaned({b"raw": 1, Secret("hush"): 2}) == {"<bytes>": 1, "<Secret>": 2}


def test_enumerations_show_their_name() -> None:
    assert cleaned([Grade.KEY_EXPOSED, Termination.SHUTDOWN]) == ["KEY_EXPOSED", "SHUTDOWN"]


def test_depth_and_length_are_bounded() -> None:
    deep: object = "bottom"
    for _ in range(5000):
        deep = [deep]
    assert len(json.dumps(cleaned(deep))) < 100
    items = cleaned(list(range(10_000)))
    assert isinstance(items, list)
    assert len(items) == MAX_ITEMS


@given(ANYTHING)
def test_anything_becomes_strict_json_without_secrets(value: object) -> None:
    text = json.dumps(cleaned(value), ensure_ascii=True, allow_nan=False)
    assert json.loads(text) == cleaned(value)
    assert "hush" not in text


@given(ANYTHING)
def test_cleaning_twice_changes_nothing(value: object) -> None:
    assert cleaned(cleaned(value)) == cleaned(value)


@given(ANY_TEXT)
def test_clean_text_is_printable_and_short(text: str) -> None:
    clean = cleaned_text(text)
    assert clean.isprintable()
    assert len(clean) <= MAX_TEXT
