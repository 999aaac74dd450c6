"""Codecs, payload types and the choice of a key (RFC 3264, RFC 4568 5.1.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.crypto_suite import SUITES
from gateway.sdp.codecs import Codec, read_codecs
from gateway.sdp.media import read_audio
from gateway.sdp.negotiation import choose_crypto, common_codecs, payload_map, select_codecs
from tests.sdp.helpers import (
    ALL_SUITES,
    CM_80,
    CN,
    DTMF_8,
    DTMF_48,
    GCM_128,
    GCM_256,
    OPUS,
    PCMA,
    PCMU,
    capture,
    crypto,
)

CHROMIUM = read_audio(capture("chromium_offer")).codecs
TRUNK = (PCMU, PCMA, Codec(120, "telephone-event", 8000))


def names(codecs: tuple[Codec, ...]) -> list[str]:
    return [f"{c.payload_type}:{c.name}/{c.clock_rate}" for c in codecs]


def test_codecs_are_selected_in_our_order_with_the_peers_payload_types() -> None:
    chosen = select_codecs(CHROMIUM, ["pcma", "opus"])
    assert names(chosen) == [
        "8:PCMA/8000", "111:opus/48000", "13:CN/8000", "110:telephone-event/48000", "126:telephone-event/8000",
    ]  # fmt: skip


def test_events_and_comfort_noise_come_with_their_clock_rate_and_the_events_everybody_knows_with_any() -> None:
    assert names(select_codecs(CHROMIUM, ["opus"])) == [
        "111:opus/48000",
        "110:telephone-event/48000",
        "126:telephone-event/8000",
    ]
    assert names(select_codecs(CHROMIUM, ["PCMU"])) == ["0:PCMU/8000", "13:CN/8000", "126:telephone-event/8000"]


def test_events_alone_are_no_codec() -> None:
    assert select_codecs(CHROMIUM, ["telephone-event", "cn"]) == ()
    assert common_codecs((PCMU, DTMF_8), (PCMA, DTMF_8)) == ()


def test_a_full_key_selects_one_clock_rate() -> None:
    pjsua2 = read_audio(capture("pjsua2_offer_sdes_m")).codecs
    assert names(select_codecs(pjsua2, [("speex", 16000, 1)])) == [
        "96:speex/16000",
        "120:telephone-event/16000",
        "121:telephone-event/8000",
    ]
    assert names(select_codecs(pjsua2, ["speex"]))[:3] == ["96:speex/16000", "97:speex/8000", "98:speex/32000"]


def test_a_format_that_refers_to_other_payload_types_is_never_selected() -> None:
    assert select_codecs(CHROMIUM, ["red"]) == ()
    assert "red" not in {c.name for c in common_codecs(CHROMIUM, CHROMIUM)}


def test_common_codecs_keep_the_first_sides_numbers_and_order() -> None:
    assert names(common_codecs(CHROMIUM, TRUNK)) == ["0:PCMU/8000", "8:PCMA/8000", "126:telephone-event/8000"]
    assert names(common_codecs(TRUNK, CHROMIUM)) == ["0:PCMU/8000", "8:PCMA/8000", "120:telephone-event/8000"]


def test_codecs_of_different_clock_rate_or_channels_have_nothing_in_common() -> None:
    assert common_codecs((OPUS,), (replace(OPUS, channels=1),)) == ()
    assert common_codecs((Codec(97, "L16", 8000),), (Codec(98, "L16", 16000),)) == ()


def test_names_are_compared_without_case() -> None:
    assert common_codecs((Codec(96, "OPUS", 48000, 2),), (OPUS,)) == (Codec(96, "OPUS", 48000, 2),)


@pytest.mark.parametrize(
    ("ours", "theirs", "events"),
    [
        ((OPUS, DTMF_48, DTMF_8), (OPUS, DTMF_8), [DTMF_48]),
        ((OPUS, DTMF_48, DTMF_8), (OPUS, DTMF_48, DTMF_8), [DTMF_48]),
        ((OPUS, DTMF_48), (OPUS, DTMF_8), [DTMF_48]),
        ((OPUS, DTMF_8), (OPUS, DTMF_48), [DTMF_8]),
        ((PCMU, DTMF_48), (PCMU, DTMF_8), [DTMF_48]),
        ((OPUS, PCMU, DTMF_48, DTMF_8), (PCMU, DTMF_8), [DTMF_8]),
        ((OPUS, DTMF_48, DTMF_8), (OPUS,), []),
        ((OPUS,), (OPUS, DTMF_8), []),
    ],
)
def test_digits_survive_when_both_sides_know_events_of_any_rate(
    ours: tuple[Codec, ...], theirs: tuple[Codec, ...], events: list[Codec]
) -> None:
    common = common_codecs(ours, theirs)
    assert [codec for codec in common if codec.is_event] == events
    mapped = payload_map(common, theirs)
    assert all((codec.payload_type in mapped) is not codec.is_event for codec in common)


def test_telephone_event_is_not_mapped_because_digits_are_played_anew() -> None:
    assert payload_map(CHROMIUM, TRUNK) == {0: 0, 8: 8}
    assert payload_map(TRUNK, CHROMIUM) == {0: 0, 8: 8}
    assert payload_map((OPUS, DTMF_48, PCMU, DTMF_8, CN), CHROMIUM) == {111: 111, 0: 0, 13: 13}


def test_two_numbers_of_one_codec_both_arrive() -> None:
    assert payload_map((PCMU, Codec(97, "pcmu", 8000)), (PCMU,)) == {0: 0, 97: 0}
    assert payload_map((PCMU,), (Codec(97, "PCMU", 8000), PCMU)) == {0: 97}


def test_what_the_other_side_has_no_number_for_is_not_mapped() -> None:
    assert payload_map((OPUS, CN), TRUNK) == {}
    assert payload_map((OPUS, DTMF_48), (OPUS, PCMU)) == {111: 111}


def test_our_strongest_suite_is_chosen_whatever_the_peers_order() -> None:
    weakest_first = tuple(reversed(ALL_SUITES))
    chosen = choose_crypto(weakest_first, SUITES)
    assert chosen is not None
    assert chosen.suite == GCM_256


def test_only_suites_we_are_told_to_use_are_chosen() -> None:
    assert choose_crypto(ALL_SUITES, []) is None
    chosen = choose_crypto(ALL_SUITES, [s for s in SUITES if s.name != GCM_256])
    assert chosen is not None
    assert chosen.suite == GCM_128


def test_of_two_lines_with_one_suite_the_first_is_chosen() -> None:
    assert choose_crypto((crypto(5, CM_80, 1), crypto(2, CM_80, 2)), SUITES) == crypto(5, CM_80, 1)


def test_a_browsers_codecs_read_from_its_section_are_those_of_its_audio() -> None:
    assert read_codecs(capture("chromium_offer").media[0]) == CHROMIUM
