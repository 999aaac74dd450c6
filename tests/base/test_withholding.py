"""No key gets into the program's own log, whatever mistake is on its way there."""

from __future__ import annotations

import io
import logging

import pytest

from gateway.base.withholding import MAX_LOGGERS, TOLD_SECONDS, KeyGuard, guard, without_keys

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
LINE = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"


class Written:
    """A logger of its own, and what its handler has written."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.log = logging.getLogger("gateway.somewhere")
        self.log.handlers = [logging.StreamHandler(self.text)]
        self.log.propagate = False
        self.guarding = KeyGuard()
        guard(self.guarding, self.log)


def test_a_key_on_its_way_into_a_log_line_is_withheld_and_told() -> None:
    """The row gw.key_leak of the catalogue; `tests/test_process.py` has it as a record."""
    written = Written()
    written.log.warning("bad description %r of %s", LINE, "trunk")
    assert KEY not in written.text.getvalue()
    assert "inline:***" in written.text.getvalue()
    assert "of trunk" in written.text.getvalue()
    assert written.guarding.take(0.0) == [("gateway.somewhere", 1)]


def test_a_key_in_a_traceback_is_withheld_too() -> None:
    written = Written()
    try:
        raise ValueError(LINE)
    except ValueError:
        written.log.exception("call=c-1 failed")
    assert KEY not in written.text.getvalue()
    assert "ValueError" in written.text.getvalue()
    assert written.guarding.take(0.0)


def test_what_has_no_key_stays_as_it_is_and_is_not_told() -> None:
    written = Written()
    written.log.warning("inline: %s", "text")
    written.log.warning("100%")
    assert written.text.getvalue() == "inline: text\n100%\n"
    assert written.guarding.take(0.0) == []


@pytest.mark.parametrize("text", [LINE, f"inline: {KEY}", f"x inline:{KEY}== y", f"inline:{KEY};inline:{KEY}"])
def test_every_form_of_a_key_is_found(text: str) -> None:
    assert KEY not in without_keys(text)


def test_a_mistake_made_with_every_message_is_told_once_a_minute() -> None:
    written = Written()
    for number in range(MAX_LOGGERS + 5):
        written.guarding.filter(logging.LogRecord(f"log{number}", 30, "", 1, LINE, (), None))
    assert len(written.guarding.take(100.0)) == MAX_LOGGERS
    written.log.warning(LINE)
    assert written.guarding.take(100.0 + TOLD_SECONDS - 1) == []
    assert written.guarding.take(100.0 + TOLD_SECONDS) == [("gateway.somewhere", 1)]
