"""YAML read as text: nothing is guessed, nothing grows, every mistake has its line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import ConfigError, ConfigErrors
from gateway.config.yaml import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    Mapping,
    Node,
    Scalar,
    Sequence,
    dotted,
    known_part,
    parse_yaml,
    read_yaml,
)
from tests.effort import examples


def plain(node: Node) -> object:
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.text


def mistake(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "a.yaml")
    return caught.value


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "0900", "0x1f", "0o17", "1e3", "+4930123", "12:30", "2026-01-02", "null", "~", ".inf", "1_000"],
)
def test_a_scalar_stays_the_text_it_is(text: str) -> None:
    assert plain(parse_yaml(f"key: {text}\n", "a.yaml")) == {"key": text}


def test_lists_maps_quotes_and_blocks_are_read() -> None:
    text = "a: [x, 'y z', \"\\u00e9\"]\nb:\n  - c: 1\n    d: ''\ne: |\n  two\n  lines\n"
    assert plain(parse_yaml(text, "a.yaml")) == {
        "a": ["x", "y z", "é"],
        "b": [{"c": "1", "d": ""}],
        "e": "two\nlines\n",
    }


def test_every_key_knows_its_line() -> None:
    node = parse_yaml("a:\n  b: 1\n  c:\n    - x\n    - d: 2\n", "a.yaml")
    assert known_part(node, ("a", "c", 1, "d")) == (("a", "c", 1, "d"), 5)
    assert known_part(node, ("a", "c", 0)) == (("a", "c", 0), 4)
    assert known_part(node, ("a", "missing", "deep")) == (("a",), 1)
    assert known_part(node, ("a", "c", 7)) == (("a", "c"), 3)
    assert known_part(node, ("a", "b", "inside-text")) == (("a", "b"), 2)


def test_a_location_is_told_with_dots_and_brackets() -> None:
    assert dotted(("listen", "sip", 0)) == "listen.sip[0]"
    assert dotted((0, "a")) == "[0].a"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("# only a comment\n", 0, "empty"),
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key, first on line 1"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "tags"),
        ("a: !!int 5\n", 1, "tags"),
        ("a: !secret x\n", 1, "tags"),
        ("a: ! x\n", 1, "tags"),
        ("a:\n  b:\n", 2, "no value"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
        ("a: [1, 2\n", 2, "not YAML"),
        ("a: *x\n", 1, "no anchor"),
        ("a: &x [1, *x]\n", 1, "inside its own anchor"),
        ("a: &x {b: *x}\n", 1, "inside its own anchor"),
        ("base: &b {x: 1}\na:\n  <<: *b\n", 3, "merge keys"),
        ("? [a, b]\n: 1\n", 1, "a key must be plain text"),
        ("!!str a: 1\n", 1, "a key must be plain text"),
        ("a: 1\n@b: 2\n", 2, "not YAML"),
        ("a: 1\nb: \x01\n", 2, "character that YAML does not allow"),
        ("%YAML 9.9\n---\na: 1\n", 1, "not YAML"),
        ("a: 'open\n", 2, "not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, words: str) -> None:
    error = mistake(text)
    assert words in str(error)
    assert (error.file, error.line) == ("a.yaml", line)


def test_several_mistakes_are_told_together() -> None:
    error = mistake("a: 1\na: 2\nb:\nc: !t 3\n")
    assert isinstance(error, ConfigErrors)
    assert [(e.line, e.key) for e in error.errors] == [(2, "a"), (3, "b"), (4, "c")]


def test_a_syntax_error_does_not_repeat_the_line_it_is_on() -> None:
    assert "hunter2" not in str(mistake("password: 'hunter2\nb: 1\n"))
    assert "hunter2" not in str(mistake("password: x: hunter2\n"))


def test_an_alias_stands_for_its_anchor() -> None:
    assert plain(parse_yaml("a: &x [1]\nb: *x\nc: *x\n", "a.yaml")) == {"a": ["1"], "b": ["1"], "c": ["1"]}


def test_a_billion_laughs_are_refused_at_once() -> None:
    lines = ['a0: &a0 ["lol"]'] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    started = time.process_time()
    assert "aliases counted in full" in str(mistake("\n".join(lines)))
    assert time.process_time() - started < 1


def test_deep_nesting_is_refused_before_it_recurses() -> None:
    for text in ("[" * 5000, "{a: " * 5000, "- " * 5000 + "x"):
        started = time.process_time()
        assert f"nested deeper than {MAX_DEPTH}" in str(mistake(text))
        assert time.process_time() - started < 1


def test_a_file_above_the_cap_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_bytes(b"a: " + b"x" * MAX_FILE_BYTES)
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(file)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "odd")
    with pytest.raises(ConfigError, match=r"this is (a directory|not a regular file)"):
        read_yaml(tmp_path / "odd")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: the file cannot be read: No such file"):
        read_yaml(tmp_path / "absent.yaml")


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: this is not UTF-8"):
        read_yaml(file)


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert plain(read_yaml(file)) == {"a": "1"}


@settings(max_examples=examples(300), deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%?, \n\t<\x00é~", max_size=60))
def test_any_text_is_a_tree_or_a_config_error(text: str) -> None:
    try:
        node = parse_yaml(text, "a.yaml")
    except ConfigError:
        return
    assert isinstance(node, Scalar | Sequence | Mapping)
