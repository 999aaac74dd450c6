"""Our end of a DTLS association with a trunk: which names last, and which are new."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.signalling import Signalling
from gateway.base.values import HostPort
from gateway.call.legs.agreed import TrunkMedia
from gateway.call.legs.dtls_end import DtlsEnd
from gateway.sdp.media import RemoteAudio
from gateway.trunks.model import TrunkDtls
from tests.sdp.helpers import FINGERPRINT, remote, trunk_audio
from tests.sites import made_trunk

THEIRS = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
ICE = ("a=ice-ufrag:abcd", "a=ice-pwd:" + "p" * 22, "a=rtcp-mux")
RESTARTED = ("a=ice-ufrag:efgh", "a=ice-pwd:" + "q" * 22, "a=rtcp-mux")
NAMED = "a=tls-id:" + "x" * 20


def end() -> DtlsEnd:
    numbers = itertools.count(1)
    return DtlsEnd(FINGERPRINT, lambda length: f"{next(numbers):0{length}d}")


def offered(*lines: str, setup: str = "actpass", port: int = 4000) -> RemoteAudio:
    return remote(THEIRS, f"a=setup:{setup}", *lines, proto="UDP/TLS/RTP/SAVP", port=port)


def accepted(ours: DtlsEnd, line: RemoteAudio, before: TrunkMedia | None = None, **settings: object) -> TrunkMedia:
    trunk = replace(made_trunk("sip:pbx.example"), dtls=TrunkDtls(**settings))  # type: ignore[arg-type]
    told, agreement = ours.accept(line, before, trunk)
    return TrunkMedia(Signalling("udp"), line, agreement, line.rtp, None, mux=True, ours=told)


def test_an_association_goes_on_under_its_name_until_something_says_that_it_is_another() -> None:
    ours = end()
    first = accepted(ours, offered(NAMED))
    same = accepted(ours, offered(NAMED, port=4010), first)
    assert (same.association, same.ours.tls_id) == (first.association, first.ours.tls_id)
    other = accepted(ours, offered("a=tls-id:" + "y" * 20), first)
    assert other.association != first.association
    assert other.ours.tls_id != first.ours.tls_id


def test_a_peer_that_leaves_the_role_open_keeps_the_one_it_has() -> None:
    """RFC 8842 5.3: an answer that changed it would begin another association."""
    ours = end()
    first = accepted(ours, offered(), setup=Setup.ACTIVE)
    assert first.association is not None
    assert first.association.dtls_role == "client"
    assert accepted(ours, offered(), first, setup=Setup.PASSIVE).association == first.association


def test_without_a_name_another_address_is_another_association_unless_paths_are_checked() -> None:
    ours = end()
    bare, moved = (accepted(ours, offered(port=port)) for port in (4000, 4010))
    assert bare.association != moved.association
    checked, roamed = (accepted(ours, offered(*ICE, port=port)) for port in (4000, 4010))
    assert checked.association == roamed.association


def test_a_restart_of_ice_takes_new_names_and_leaves_the_association_alone() -> None:
    ours = end()
    first = accepted(ours, offered(*ICE))
    again, restarted = (accepted(ours, offered(*lines), first) for lines in (ICE, RESTARTED))
    assert again.ours.ice == first.ours.ice
    assert restarted.ours.ice not in (None, first.ours.ice)
    assert restarted.association == first.association


def test_ice_without_a_demand_for_keys_is_left_alone() -> None:
    line = replace(offered(*ICE), proto=Proto.AVP)
    assert accepted(end(), line).ours.ice is None


def test_an_answer_uses_ice_where_both_speak_it_and_rtcp_is_muxed() -> None:
    ours = end()
    trunk = replace(made_trunk("sip:pbx.example"), dtls=TrunkDtls(transport=Proto.DTLS_SAVPF, ice=True))
    offer = ours.offer(trunk_audio(Proto.DTLS_SAVP), trunk)
    assert offer.candidates == (HostPort("198.51.100.7", 20000),)
    told = ours.answered(offer, offered(*ICE), None)
    assert told.ice is not None
    assert told.ice.ufrag == offer.ice_ufrag
    assert ours.answered(offer, offered(), None).ice is None
    assert ours.answered(offer, offered(*ICE[:2]), None).ice is None
    assert ours.answered(ours.offer(trunk_audio(Proto.DTLS_SAVP), None), offered(*ICE), None).ice is None


def test_what_it_takes_is_dtls_and_no_key_of_a_description() -> None:
    found = accepted(end(), offered()).agreement
    assert (found.keying, found.suite, found.local, found.remote) == (Keying.DTLS, None, None, None)


@pytest.mark.parametrize("missing", [DtlsEnd(None, lambda length: "x" * length), DtlsEnd(FINGERPRINT)])
def test_nothing_is_offered_without_a_certificate_or_a_source_of_names(missing: DtlsEnd) -> None:
    with pytest.raises(SdpError) as caught:
        missing.offer(trunk_audio(Proto.DTLS_SAVP), None)
    assert caught.value.status == 500


def test_holdconn_is_no_role_of_dtls() -> None:
    with pytest.raises(SdpError):
        accepted(end(), offered(setup="holdconn"))
