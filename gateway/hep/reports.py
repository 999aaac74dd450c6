"""Reports on media as collectors of HEP read them: JSON with the names heplify and Homer know. PURE.

RTCP (RFC 3550 6.4, RFC 3611 4.7): what leg and peer told each other, number by number; names (SDES) are left out
quality: what became of a direction of a leg in the end, as `call.final` has it
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.base.values import HostPort
from gateway.hep.packet import MAX_CORRELATION

MAX_PACKETS = 16
"""Packets in one compound; real ones have two to four."""
MAX_BLOCKS = 31
"""Report blocks that fit into one packet (RFC 3550 6.4.1)."""
MAX_XR_BLOCKS = 16
SR, RR, XR = 200, 201, 207
_VOIP = 7
"""The block type of VoIP metrics (RFC 3611 4.7)."""
_LONG = struct.Struct("!I")
_SENDER = struct.Struct("!IIIII")
_BLOCK = struct.Struct("!IIIIII")
_METRICS = struct.Struct("!IBBBBHHHH")
_SENDER_AT, _BLOCKS_AT = 8, {SR: 28, RR: 8}
_VERSION, _VERSION_MASK = 0x80, 0xC0

Report = dict[str, object]


def rtcp_report(compound: bytes) -> Report | None:
    """What a compound packet reports; None when it reports nothing, or is none."""
    found: Report = {}
    for part in _parts(compound):
        if part[1] in (SR, RR) and "type" not in found:
            found |= _report(part)
        elif part[1] == XR and "report_blocks_xr" not in found:
            found |= _extended(part)
    return found or None


def _parts(compound: bytes) -> Iterator[bytes]:
    """The packets of a compound as far as they are well formed."""
    at = 0
    for _ in range(MAX_PACKETS):
        head = compound[at : at + 8]
        if len(head) < 8 or head[0] & _VERSION_MASK != _VERSION:
            return
        end = at + 4 * (int.from_bytes(head[2:4], "big") + 1)
        if end - at < 8 or end > len(compound):
            return
        yield compound[at:end]
        at = end


def _report(part: bytes) -> Report:
    """An SR or RR (RFC 3550 6.4.1, 6.4.2)."""
    kind, start = part[1], _BLOCKS_AT[part[1]]
    if len(part) < start:
        return {}
    blocks = [_block(part, at) for at in _places(part, start)]
    found: Report = {"ssrc": _LONG.unpack_from(part, 4)[0], "type": kind, "report_count": len(blocks)}
    if kind == SR:
        seconds, fraction, timestamp, packets, octets = _SENDER.unpack_from(part, _SENDER_AT)
        found["sender_information"] = {
            "ntp_timestamp_sec": seconds,
            "ntp_timestamp_usec": fraction,
            "rtp_timestamp": timestamp,
            "packets": packets,
            "octets": octets,
        }
    return found | {"report_blocks": blocks}


def _places(part: bytes, start: int) -> range:
    """Where its report blocks begin: as many as it says it has, and no more than it has."""
    stated = start + _BLOCK.size * min(part[0] & 0x1F, MAX_BLOCKS)
    return range(start, min(stated, len(part) - _BLOCK.size + 1), _BLOCK.size)


def _block(part: bytes, at: int) -> Report:
    source, lost, highest, jitter, last, delay = _BLOCK.unpack_from(part, at)
    cumulative = lost & 0xFFFFFF
    return {
        "source_ssrc": source,
        "fraction_lost": lost >> 24,
        "packets_lost": cumulative - 0x1000000 if cumulative & 0x800000 else cumulative,
        "highest_seq_no": highest,
        "ia_jitter": jitter,
        "lsr": last,
        "dlsr": delay,
    }


def _extended(part: bytes) -> Report:
    """The VoIP metrics of an XR packet (RFC 3611 3, 4.7), the first there are."""
    at = 8
    for _ in range(MAX_XR_BLOCKS):
        if at + 4 > len(part):
            return {}
        size = 4 * int.from_bytes(part[at + 2 : at + 4], "big")
        if part[at] == _VOIP and size >= _METRICS.size and at + 4 + size <= len(part):
            return {"report_blocks_xr": {"type": XR, "id": _VOIP} | _metrics(part, at + 4)}
        at += 4 + size
    return {}


def _metrics(part: bytes, at: int) -> Report:
    names = ("fraction_lost", "fraction_discard", "burst_density", "gap_density")
    times = ("burst_duration", "gap_duration", "round_trip_delay", "end_system_delay")
    source, *numbers = _METRICS.unpack_from(part, at)
    return {"source_ssrc": source, **dict(zip((*names, *times), numbers, strict=True))}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedWay:
    """One direction of a leg that has ended."""

    facts: Mapping[str, object]
    """As `call.final` has them: `mos`, `packets`, `lost`, `jitter_ms`, `jitter_max_ms` and so on."""
    source: HostPort
    destination: HostPort
    leg: str
    """`browser`, `trunk`."""
    codec: str
    rtt_ms: object = None
    call_id: str = ""
    """Call-ID of the leg."""
    is_heard: bool = True
    """From its peer to us."""


def quality_report(way: EndedWay, correlation: str, at: float) -> Report:
    """What this direction was like; numbers that are not known are left out.

    Args:
        at: when it ended, in seconds since 1970.
    """
    facts = way.facts
    found: Report = {
        "CORRELATION_ID": correlation[:MAX_CORRELATION],
        "RTP_SIP_CALL_ID": way.call_id[:MAX_CORRELATION],
        "REPORT_TS": round(at, 3),
        "EXPECTED_PK": facts.get("packets"),
        "PACKET_LOSS": facts.get("lost"),
        "LOSS_PERCENT": facts.get("loss_percent"),
        "BURST_LOSS_PERCENT": facts.get("burst_loss_percent"),
        "JITTER": facts.get("jitter_ms"),
        "MAX_JITTER": facts.get("jitter_max_ms"),
        "DELAY": facts.get("delay_ms"),
        "RTT": way.rtt_ms,
        "MOS": facts.get("mos"),
        "SRC_IP": way.source.host,
        "SRC_PORT": way.source.port,
        "DST_IP": way.destination.host,
        "DST_PORT": way.destination.port,
        "CODEC_NAME": way.codec,
        "DIR": 0 if way.is_heard else 1,
        "REPORT_NAME": f"{way.leg}-{'heard' if way.is_heard else 'sent'}",
        "TYPE": "FINAL",
    }
    return {name: value for name, value in found.items() if value is not None}


def ended_ways(
    facts: Mapping[str, object], *, leg: str, codec: str, call_id: str, own: HostPort, peer: HostPort
) -> Sequence[EndedWay]:
    """The directions of a leg, by its facts in `call.final`; of one nothing is known of, none."""
    found = []
    for name, source, destination in (("heard", peer, own), ("sent", own, peer)):
        known = facts.get(name)
        if isinstance(known, Mapping):
            found.append(
                EndedWay(
                    facts=known,
                    source=source,
                    destination=destination,
                    leg=leg,
                    codec=codec,
                    rtt_ms=facts.get("rtt_ms"),
                    call_id=call_id,
                    is_heard=name == "heard",
                )
            )
    return found


def payload(report: Report) -> bytes:
    """As it is sent: JSON in printable ASCII, whatever is in it."""
    return json.dumps(report, separators=(",", ":"), allow_nan=False, default=str).encode("ascii")
