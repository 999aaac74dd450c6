"""What a call ends with when the keys of a trunk's description are wrong."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.trunk_faults import TrunkKeyingError


@pytest.mark.parametrize(
    ("codes", "termination"),
    [
        ([Code.MEDIA_CRYPTO_IGNORED, Code.SUITE_UNKNOWN], Termination.ENCRYPTION_IGNORED),
        ([Code.MEDIA_MIXED_KEYING], Termination.BAD_SDP),
        ([Code.KEY_REUSE], Termination.ENCRYPTION_UNUSABLE),
        ([Code.SUITE_WEAK_TAG, Code.SUITE_WEAK_TAG], Termination.ENCRYPTION_UNUSABLE),
    ],
)
def test_a_fault_of_keying_names_its_codes_once_and_how_the_call_ends(
    codes: list[Code], termination: Termination
) -> None:
    error = TrunkKeyingError(codes)
    assert (error.termination, error.codes, error.status) == (termination, tuple(sorted(set(codes))), 488)
