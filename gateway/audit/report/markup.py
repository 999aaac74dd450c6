"""HTML that cannot be broken out of: whatever is not `Html` already is escaped when it goes into a tag. PURE."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Html(str):
    """Markup that this report made itself."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """Text as it may stand in a page, in an attribute too; no control and no formatting character is left in it."""
    if isinstance(value, Html):
        return value
    return Html(html.escape("".join(c if c.isprintable() else "\ufffd" for c in str(value)), quote=True))


def joined(parts: Iterable[object]) -> Html:
    """Several things one after the other."""
    return Html("".join(escaped(part) for part in parts))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. Names of attributes are ours: `class_` is `class`, `aria_label` is `aria-label`."""
    written = "".join(f' {_name(key)}="{escaped(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[object]], *, numeric: Iterable[int] = ()) -> Html:
    """A table whose first column names the row.

    Args:
        numeric: columns, counted from 0, whose cells are numbers.
    """
    right = set(numeric)
    head = tag("tr", *(tag("th", name, scope="col", **_class(at in right)) for at, name in enumerate(heads)))
    body = [_table_row(list(cells), right) for cells in rows]
    return tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))


def _table_row(cells: list[object], right: set[int]) -> Html:
    first = tag("th", cells[0], scope="row", **_class(0 in right))
    return tag("tr", first, *(tag("td", cell, **_class(at in right)) for at, cell in enumerate(cells[1:], start=1)))


def _class(is_number: bool) -> dict[str, object]:
    return {"class_": "n"} if is_number else {}
