from __future__ import annotations

from gateway.base.codes import Code, known_codes


def test_every_code_is_an_area_and_a_weakness() -> None:
    areas = {"media", "key", "suite", "srtcp", "dtls", "tls", "sig", "mid", "fork", "early", "gw", "meta", "brw", "pin"}
    for code in Code:
        area, dot, weakness = code.value.partition(".")
        assert dot
        assert weakness
        assert area in areas
        assert code.name == code.value.upper().replace(".", "_")


def test_text_that_is_no_code_is_left_out() -> None:
    assert known_codes(["suite.null", "suite.nonsense", "", "SUITE.NULL"]) == {Code.SUITE_NULL}
