"""What the checkpoints of a log say, against the log: those in it, and those that were kept elsewhere. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit.chain import GENESIS, Link
from gateway.audit.checkpoint import TYPE, is_genuine
from gateway.audit.heartbeat import CHECKPOINT_RECORDS
from gateway.audit.pick import Record, number, text

MOST_WITHOUT = 2 * CHECKPOINT_RECORDS
"""Records that may follow each other without a checkpoint: a log that has them has one at least twice as often."""


class Signatures:
    """Follows the checkpoints through a log.

    Args:
        keys: what they must be signed with, each with one of them; without any, signatures are not looked at.
        outside: those kept elsewhere, whose signatures have been checked: hash by number of the record.
    """

    def __init__(self, keys: Sequence[Ed25519PublicKey], outside: Mapping[int, str]) -> None:
        self._keys, self._outside = tuple(keys), outside
        self.checked = 0
        """Checkpoints in the log."""
        self.matched = 0
        """Checkpoints kept elsewhere that the log fulfils."""
        self.covered = 0
        """Number of the last record that one of them covers."""
        self._log_id = ""
        self._last = ""
        """Hash of the newest checkpoint record; empty before the first that is here."""
        self._since = 0
        self._last_seq = 0
        self._from_the_start = False

    @property
    def keys(self) -> int:
        """How many keys signatures are checked with."""
        return len(self._keys)

    def take(self, record: Record, link: Link, before: Link | None) -> Iterator[str]:
        """The next record; what is wrong with it."""
        self._from_the_start = self._from_the_start or link.seq == 1
        self._last_seq = max(self._last_seq, link.seq)
        self._since += 1
        if record.get("type") == TYPE:
            yield from self._checkpoint(record, link, before)
        elif self.checked and self._since == MOST_WITHOUT:
            yield f"there is no checkpoint in {MOST_WITHOUT} records: they were taken out"
        kept = self._outside.get(link.seq)
        if kept is not None:
            self.matched += kept == link.hash
            if kept != link.hash:
                yield "it is not the record that a checkpoint kept elsewhere names: the log was rewritten"

    def beyond(self, last: int) -> int:
        """The highest number a checkpoint kept elsewhere names, if the log does not reach it; else 0."""
        highest = max(self._outside, default=0)
        return highest if highest > last else 0

    def remarks(self) -> Iterator[str]:
        """What should be known, once all records were taken."""
        if not self._keys and self.checked:
            yield "signatures were not checked: give the public key by --key"
        if self._last_seq > self.covered:
            number_ = self._last_seq - self.covered
            yield f"the last {number_} records are not covered by a checkpoint yet: they are proved by the chain alone"
        if not self._outside:
            yield "whether the end was cut off only checkpoints tell that were kept elsewhere (--checkpoints)"

    def _checkpoint(self, record: Record, link: Link, before: Link | None) -> Iterator[str]:
        self.checked += 1
        self._since = 0
        yield from self._signature(record)
        if before is not None and (text(record, "head"), number(record, "size")) != (before.hash, before.seq):
            yield f"this checkpoint is of another log than the one before it: it names record {number(record, 'size')}"
        expected = self._last or (GENESIS if self._from_the_start else "")
        if expected and text(record, "prev_checkpoint") != expected:
            yield "the checkpoint before it is another than it names: checkpoints were taken out or replaced"
        self._last, self.covered = link.hash, max(self.covered, number(record, "size"))

    def _signature(self, record: Record) -> Iterator[str]:
        log_id = text(record, "log_id")
        if not self._keys and self._log_id and log_id != self._log_id:
            yield "this checkpoint was signed with another key than those before it"
        self._log_id = log_id
        if self._keys and not any(is_genuine(record, key) for key in self._keys):
            yield "this checkpoint was not signed with the key of the log: it was made up, or another key is meant"
