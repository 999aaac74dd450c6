"""Whether the log is as it was written: every record, in its order, none missing, none put in. PURE.

Lines go in one after the other, oldest first; findings come out, the first of them being the first bad record. What is
kept is bounded, so a log may be any length. A chain alone proves nothing against somebody who can write the file anew
from some record on, nor that nothing was cut off its end: for that there are checkpoints, signed, and kept elsewhere.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit.chain import GENESIS, Examined, Fault, Link, examine
from gateway.audit.facts import short_id
from gateway.audit.heartbeat import HEARTBEAT_SECONDS
from gateway.audit.heartbeat import TYPE as HEARTBEAT
from gateway.audit.pairing import Pairing
from gateway.audit.pick import moment, text
from gateway.audit.query import Numbering
from gateway.audit.remains import Remains
from gateway.audit.signatures import Signatures

MAX_FINDINGS = 100
"""Findings that are kept: of a log that is bad throughout, the first ones say it."""

CLOCK_SLACK = datetime.timedelta(seconds=1)
"""So far a clock may be set back without a word: time servers do that to a clock that is a little fast."""

SILENCE_NS = 5 * HEARTBEAT_SECONDS * 1_000_000_000
"""How long a log that has heartbeats may be silent within one run before that is told of."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and where it was found first."""

    place: str
    """`audit.jsonl:17`; of what is missing at the end, the last line there is."""
    seq: int
    """Number of the record, 0 where it has none."""
    words: str
    what: str = ""
    """Type of the record and its call."""
    ts: str = ""

    @property
    def line(self) -> str:
        """For people, in one line."""
        which = f"record {self.seq}" if self.seq else "a line without a number"
        about = f" ({self.what})" if self.what else ""
        return f"{self.place}: {which}{about}: {self.words}"


@dataclass(slots=True)
class Verified:
    """What was found."""

    records: int = 0
    first_seq: int = 0
    last_seq: int = 0
    first_ts: str = ""
    last_ts: str = ""
    unchained: int = 0
    """Records without a chain before the first that has one."""
    findings: list[Finding] = field(default_factory=list)
    more_findings: int = 0
    remarks: list[str] = field(default_factory=list)
    """What is no fault and should be known."""

    @property
    def intact(self) -> bool:
        """Nothing bad was found, and there was something that could have been bad."""
        return not self.findings and self.records > self.unchained

    def add(self, finding: Finding) -> None:
        """Keep a finding, or count it."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.more_findings += 1


@dataclass(slots=True)
class Silences:
    """Stretches of a run without a record, not even a heartbeat."""

    count: int = 0
    longest: int = 0
    seq: int = 0
    """The record behind the longest."""

    def add(self, seq: int, seconds: int) -> None:
        """One more, before that record."""
        self.count += 1
        if seconds > self.longest:
            self.longest, self.seq = seconds, seq

    @property
    def words(self) -> str:
        """For people, in one line."""
        often = "once" if self.count == 1 else f"{self.count} times"
        return f"the log was silent, without heartbeats, {often}; longest for {self.longest} s before record {self.seq}"


class Verifier:
    """Takes the lines of a log and says what is wrong with them.

    Args:
        keys: what checkpoints must be signed with, each with one of them; without any, signatures prove nothing.
        outside: checkpoints that were kept elsewhere, hash by number of the record.
        written: number of the last record that was ever in the log, as the file beside it says; 0 when nothing says so.
        whole: the log is here with all of its files; what is not here must have gone by retention.
    """

    def __init__(
        self,
        keys: Sequence[Ed25519PublicKey] = (),
        outside: Mapping[int, str] | None = None,
        written: int = 0,
        *,
        whole: bool = False,
    ) -> None:
        self.verified = Verified()
        self.signatures = Signatures(keys, outside or {})
        self.pairing = Pairing()
        self._numbering = Numbering()
        self._remains = Remains()
        self._gap_places: dict[int, str] = {}
        self._link: Link | None = None
        self._before: Examined | None = None
        self._written, self._whole = written, whole
        self._place = self._first_place = ""
        self._beats = False
        self._silences = Silences()

    def take(self, line: bytes, place: str) -> None:
        """The next line, and where it stands."""
        found = examine(line, self._expected(line))
        for words in self._wrong(line, found):
            self.verified.add(_finding(found, place, words))
        self._count(found, place)
        self._remains.take(line, place, found)
        self._first_place = self._first_place or place
        self._link, self._before, self._place = found.link, found, place

    def end(self) -> Verified:
        """There are no more lines: what can be said only now."""
        self._missing_numbers()
        for file, seq, words in self._remains.end():
            self.verified.add(Finding(file, seq, words))
        if self._whole and self._begins_late() and not self._remains.anchored:
            words = "the log begins here, and no log.pruned record says that what was before it went: it was taken out"
            self.verified.findings.insert(0, Finding(self._first_place, self.verified.first_seq, words))
        for seq, words in self._cut_off():
            self.verified.add(Finding(self._place or "the log", seq, words))
        self.verified.remarks += [*self._remarks(), *self.pairing.remarks(), *self.signatures.remarks()]
        return self.verified

    def damaged(self, words: str) -> None:
        """A file cannot be read any further."""
        self.verified.add(Finding(self._place or "the log", self.verified.last_seq, f"after it {words}"))

    # --- one line

    def _expected(self, line: bytes) -> Link | None:
        """What the line must follow; of the oldest one that is left only a first record is known to follow nothing."""
        if self._link is not None:
            return self._link
        return Link() if examine(line).link.seq == 1 else None

    def _wrong(self, line: bytes, found: Examined) -> Iterator[str]:
        if not line.endswith(b"\n"):
            yield "the line is unfinished: the machine died while it was written, or the file was cut"
        yield from self._faults(found)
        if found.record:
            yield from self.signatures.take(found.record, found.link, self._link)
            yield from self.pairing.take(found.record)

    def _faults(self, found: Examined) -> Iterator[str]:
        for fault in found.faults:
            words = self._words(fault, found)
            if words:
                yield words

    def _words(self, fault: Fault, found: Examined) -> str:
        match fault:
            case Fault.UNREADABLE:
                return "it is no record: it was changed, or it was never written by the gateway"
            case Fault.UNCHAINED:
                return "it has no hash although records before it have one: it was put in, or its chain was taken off"
            case Fault.CHANGED:
                return "its content is not what was written: it was changed afterwards"
            case Fault.UNLINKED:
                return self._unlinked(found)
            case Fault.ORDER:
                return "" if Fault.UNLINKED in found.faults else self._order(found)
            case Fault.CLOCK:
                return self._clock(found)

    def _unlinked(self, found: Examined) -> str:
        seq, last = found.link.seq, self._link.seq if self._link is not None else 0
        if seq > last + 1:
            missing = f"record {last + 1} is" if seq == last + 2 else f"records {last + 1} to {seq - 1} are"
            return f"it does not follow the line before it: {missing} missing"
        if self._before is not None and found.link == self._before.link:
            return f"it stands here twice: record {seq} was copied"
        if seq <= last:
            return f"it does not follow the line before it, which is record {last}: it was moved, copied or put in"
        return "it does not follow the line before it: it is from another log, or that line was changed and sealed anew"

    def _order(self, found: Examined) -> str:
        last = self._link.seq if self._link is not None else 0
        if found.link.seq <= last:
            return f"its number comes after record {last}: numbers only grow"
        return "the machine's time since its start goes back in it: it was written elsewhere, or made up"

    def _clock(self, found: Examined) -> str:
        """A clock that was set back a little is no finding."""
        now = moment(found.record)
        before = moment(self._before.record) if self._before is not None else None
        if now is None:
            return "it has no time that can be read"
        if before is None or before - now <= CLOCK_SLACK or Fault.UNLINKED in found.faults:
            return ""
        return f"the clock was set back by {before - now} before it: when it was written is not proved"

    # --- counting

    def _count(self, found: Examined, place: str) -> None:
        verified, link = self.verified, found.link
        verified.records += 1
        verified.unchained += link.hash == GENESIS and verified.unchained == verified.records - 1
        verified.first_seq = verified.first_seq or link.seq
        verified.first_ts = verified.first_ts or text(found.record, "ts")
        verified.last_seq = max(verified.last_seq, link.seq)
        verified.last_ts = text(found.record, "ts") or verified.last_ts
        if not found.record:
            return
        self._hear(found)
        self._numbering.take(found.record)
        if self._leaves_out(found) and found.gone is None and Fault.UNLINKED not in found.faults:
            self._note_gap(link.seq, place)

    def _leaves_out(self, found: Examined) -> bool:
        return self._link is not None and found.link.seq > self._link.seq + 1

    def _hear(self, found: Examined) -> None:
        """Heartbeats come once a minute: where they are, silence means something."""
        link, last = found.link, self._link
        same_run = last is not None and link.boot_id == last.boot_id and found.record.get("type") != "admin.start"
        if self._beats and same_run and last is not None and link.mono_ns - last.mono_ns > SILENCE_NS:
            self._silences.add(link.seq, (link.mono_ns - last.mono_ns) // 1_000_000_000)
        self._beats = self._beats or found.record.get("type") == HEARTBEAT

    def _note_gap(self, seq: int, place: str) -> None:
        if len(self._gap_places) < MAX_FINDINGS:
            self._gap_places[seq] = place

    # --- the end

    def _missing_numbers(self) -> None:
        for gap in self._numbering.gaps:
            place = self._gap_places.get(gap.last + 1)
            if gap.accounted:
                self.verified.remarks.append(gap.words)
            elif place is not None:
                self.verified.add(Finding(place, gap.last + 1, f"before it {gap.words}"))

    def _begins_late(self) -> bool:
        """The oldest record names another before it; one from before the chain does not."""
        first = self._remains.first
        return self.verified.first_seq > 1 and first is not None and first.link.hash != GENESIS

    def _cut_off(self) -> Iterator[tuple[int, str]]:
        last = self.verified.last_seq
        if self._written > last:
            yield last, f"the log ends here, but record {self._written} was in it: the end was cut off"
        beyond = self.signatures.beyond(last)
        if beyond:
            yield last, f"the log ends here, but a checkpoint kept elsewhere has record {beyond}: the end was cut off"

    def _remarks(self) -> Iterator[str]:
        verified = self.verified
        if verified.first_seq > 1 and self._remains.anchored:
            yield f"records before {verified.first_seq} were let go, as a log.pruned record says"
        elif verified.first_seq > 1:
            yield f"the log begins at record {verified.first_seq}: what was before is not here, and not checked"
        if self._silences.count:
            yield self._silences.words
        if verified.unchained == verified.records:
            yield "no record has a chain: nothing in this log is proved"
        elif verified.unchained:
            yield f"the first {verified.unchained} records have no chain, as before this version: nothing proves them"


def _finding(found: Examined, place: str, words: str) -> Finding:
    kind, uid = text(found.record, "type"), text(found.record, "call_uid")
    what = f"{kind} {short_id(uid)}" if uid else kind
    return Finding(place, found.link.seq if found.record else 0, words, what, text(found.record, "ts"))
