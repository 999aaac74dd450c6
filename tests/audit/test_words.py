"""Every code, grade and ending has words for a person."""

from __future__ import annotations

import pytest

from gateway.audit.words import CODES, IN_SHORT, WHO, because, code_words, ending, signalling_words, suite_words
from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES
from gateway.base.grades import Grade
from gateway.base.termination import Termination


@pytest.mark.parametrize("code", Code)
def test_every_code_has_words_for_somebody_who_never_read_an_rfc(code: Code) -> None:
    assert code in CODES, f"say in gateway/audit/words.py what {code} means"
    assert code_words(code) == code_words(code).strip(".")
    assert because(code).endswith(f"[{code}]")


def test_every_grade_has_words() -> None:
    assert set(WHO) == set(IN_SHORT) == set(Grade)


def test_a_code_or_ending_of_another_version_is_shown_as_it_is() -> None:
    assert because("new.code") == "this version has no words for it [new.code]"
    assert ending("new-ending") == "new-ending"
    assert ending(Termination.BUSY.slug) == "The line is busy"


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_told_by_the_length_of_its_key_and_seal(suite: object) -> None:
    name = getattr(suite, "name", "")
    assert f"{getattr(suite, 'key_bits', 0)}-bit key" in suite_words(name)
    assert suite_words("NULL_SUITE") == "a cipher unknown to this version [NULL_SUITE]"


@pytest.mark.parametrize(
    ("transport", "version", "verified", "words"),
    [
        ("udp", "", True, "signalling in the open (UDP)"),
        ("ws", "", True, "signalling in the open (WS)"),
        ("tls", "TLSv1.3", True, "signalling encrypted (TLS 1.3), the other end having proved its name"),
        ("tls", "TLSv1.2", False, "signalling encrypted (TLS 1.2), the other end NOT having proved its name"),
        ("wss", "", True, "signalling encrypted (WSS, TLS), the browser having checked this gateway's certificate"),
        ("", "", False, "signalling unknown"),
    ],
)
def test_signalling_is_told_as_open_or_encrypted_and_with_whom(
    transport: str, version: str, verified: bool, words: str
) -> None:
    assert signalling_words(transport, version, verified=verified) == words
