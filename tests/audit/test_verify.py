"""Whatever is done to a log, the first bad record is named: with its place, and with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, canonical, sealed
from gateway.audit.checkpoint import Signer, State
from gateway.audit.signatures import MOST_WITHOUT
from gateway.audit.signing_key import load
from gateway.audit.verify import MAX_FINDINGS, Verified, Verifier
from tests.audit.history import History
from tests.effort import examples

STRANGER = Ed25519PrivateKey.generate()


@cache
def written() -> tuple[tuple[bytes, ...], Ed25519PublicKey]:
    """A log with calls and checkpoints, and its key."""
    history = History(Path(mkdtemp()))
    history.some_calls(7)
    directory = history.stop()
    return tuple(history.bench.lines), load(directory / "audit.key").public_key()


def verify(lines: Sequence[bytes], **settings_: Any) -> Verified:
    verifier = Verifier((written()[1],), **settings_)
    for number, line in enumerate(lines, start=1):
        verifier.take(line, f"audit.jsonl:{number}")
    return verifier.end()


def first(lines: Sequence[bytes], **settings_: Any) -> tuple[str, str]:
    """Place of the first bad record, and what is wrong with it."""
    found = verify(lines, **settings_)
    assert not found.intact
    return found.findings[0].place, found.findings[0].words


def at(kind: str) -> int:
    """Place (from 0) of the first record of that type."""
    return next(n for n, line in enumerate(written()[0]) if json.loads(line)["type"] == kind)


def rewritten(
    lines: Sequence[bytes], start: int, change: Callable[[dict[str, Any]], None], signer: Signer | None = None
) -> list[bytes]:
    """The log as somebody leaves it who can write it: changed at `start`, and a good chain from there on."""
    made, head = list(lines[:start]), json.loads(lines[start - 1])["hash"] if start else GENESIS
    checkpoint = GENESIS
    for line in lines[start:]:
        record = json.loads(line)
        del record["hash"], record["prev_hash"]
        if len(made) == start:
            change(record)
        if record["type"] == "log.checkpoint" and signer is not None:
            draft = {name: record[name] for name in ("v", "seq", "ts", "mono_ns", "boot_id", "node", "type")}
            text = signer.complete(canonical(draft)[:-1], record["ts"], State(record["seq"] - 1, head, checkpoint))
        else:
            text = canonical(record)[:-1]
        sealed_line, head = sealed(text, head)
        checkpoint = head if record["type"] == "log.checkpoint" else checkpoint
        made.append(sealed_line)
    return made


def called_bob(record: dict[str, Any]) -> None:
    record["to"] = "bob"


# --- a good log


def test_a_log_as_it_was_written_is_intact_and_says_what_is_not_proved_yet() -> None:
    lines, _ = written()
    found = verify(lines)
    assert found.intact
    assert (found.records, found.first_seq, found.last_seq) == (len(lines), 1, len(lines))
    assert "the last 1 records are not covered" in " ".join(found.remarks) or "not covered" in " ".join(found.remarks)
    assert "kept elsewhere" in " ".join(found.remarks)


def test_calls_are_counted_at_their_beginning_and_their_end() -> None:
    verifier = Verifier()
    for line in written()[0]:
        verifier.take(line, "")
    assert (verifier.pairing.begun, verifier.pairing.ended, verifier.pairing.still_open) == (7, 7, 0)


def test_without_a_key_it_is_told_that_signatures_prove_nothing() -> None:
    verifier = Verifier()
    for line in written()[0]:
        verifier.take(line, "")
    assert "signatures were not checked" in " ".join(verifier.end().remarks)


def test_a_log_whose_oldest_files_are_gone_is_checked_from_where_it_begins() -> None:
    lines, _ = written()
    found = verify(lines[20:])
    assert found.intact
    assert "the log begins at record 21: what was before is not here, and not checked" in found.remarks


# --- what people do to logs


def test_a_changed_record_is_named() -> None:
    lines, place = list(written()[0]), at("call.start")
    lines[place] = lines[place].replace(b'"alice"', b'"carol"')
    assert first(lines) == (
        f"audit.jsonl:{place + 1}",
        "its content is not what was written: it was changed afterwards",
    )


def test_a_changed_record_with_a_new_hash_is_named_by_the_one_behind_it() -> None:
    lines, place = list(written()[0]), at("call.start")
    lines[place] = rewritten(lines, place, called_bob)[place]
    where, words = first(lines)
    assert where == f"audit.jsonl:{place + 2}"
    assert "that line was changed and sealed anew" in words


def test_a_log_written_anew_from_some_record_on_is_found_by_its_next_checkpoint() -> None:
    lines, place = written()[0], at("call.start")
    checkpoint = next(n for n, ln in enumerate(lines) if n > place and json.loads(ln)["type"] == "log.checkpoint")
    where, words = first(rewritten(lines, place, called_bob))
    assert where == f"audit.jsonl:{checkpoint + 1}"
    assert "this checkpoint is of another log than the one before it" in words
    where, words = first(rewritten(lines, place, called_bob, Signer(STRANGER)))
    assert where == f"audit.jsonl:{checkpoint + 1}"
    assert "not signed with the key of the log" in words


def test_a_log_written_anew_is_found_by_a_checkpoint_that_was_kept_elsewhere() -> None:
    lines, place = written()[0], at("leg.downgraded")
    bare = [line for line in lines[place:] if json.loads(line)["type"] != "log.checkpoint"]
    anew = rewritten([*lines[:place], *bare], place, called_bob)
    where, words = first(anew, outside={place + 1: json.loads(lines[place])["hash"]})
    assert where == f"audit.jsonl:{place + 1}"
    assert "kept elsewhere" in words


def test_a_log_without_checkpoints_where_there_were_some_is_told() -> None:
    lines = list(written()[0])
    record = json.loads(lines[-1])
    head = record["hash"]
    for seq in range(record["seq"] + 1, record["seq"] + MOST_WITHOUT + 2):
        more = {"v": 2, "seq": seq, "ts": record["ts"], "mono_ns": record["mono_ns"], "type": "auth.ok"}
        line, head = sealed(canonical(more)[:-1], head)
        lines.append(line)
    assert f"there is no checkpoint in {MOST_WITHOUT} records" in first(lines)[1]


def test_records_taken_out_are_named_by_their_numbers() -> None:
    lines = list(written()[0])
    del lines[10:13]
    assert first(lines) == ("audit.jsonl:11", "it does not follow the line before it: records 11 to 13 are missing")
    lines = list(written()[0])
    del lines[10]
    assert first(lines)[1].endswith("record 11 is missing")


def test_records_in_another_order_are_named() -> None:
    lines = list(written()[0])
    lines[10], lines[12] = lines[12], lines[10]
    assert first(lines)[0] == "audit.jsonl:11"
    moved = [*written()[0][:10], *written()[0][11:20], written()[0][10], *written()[0][20:]]
    found = verify(moved)
    assert found.findings[0].place == "audit.jsonl:11"
    (moved_to,) = (finding for finding in found.findings if finding.place == "audit.jsonl:20")
    assert "it was moved, copied or put in" in moved_to.words


def test_a_record_that_stands_there_twice_is_named() -> None:
    lines = list(written()[0])
    lines.insert(11, lines[10])
    assert first(lines) == ("audit.jsonl:12", "it stands here twice: record 11 was copied")
    lines = [*written()[0], written()[0][5]]
    assert first(lines)[0] == f"audit.jsonl:{len(lines)}"


def test_a_log_that_was_cut_is_found_by_the_file_beside_it_and_by_checkpoints_kept_elsewhere() -> None:
    lines, _ = written()
    last = json.loads(lines[-1])
    cut = lines[:-5]
    assert verify(cut).intact, "by itself it looks whole"
    place, words = first(cut, written=last["seq"])
    assert place == f"audit.jsonl:{len(cut)}"
    assert words == f"the log ends here, but record {last['seq']} was in it: the end was cut off"
    place, words = first(cut, outside={last["seq"]: last["hash"]})
    assert words == f"the log ends here, but a checkpoint kept elsewhere has record {last['seq']}: the end was cut off"
    assert verify(lines, written=last["seq"], outside={last["seq"]: last["hash"]}).intact


def test_a_log_that_was_cut_in_a_line_is_found() -> None:
    lines = list(written()[0])
    lines[-1] = lines[-1][:-40]
    assert "the line is unfinished" in first(lines)[1]


def test_two_logs_put_together_part_where_they_were_joined(tmp_path: Path) -> None:
    other = History(tmp_path)
    for _ in range(3):
        other.secured(user="bob")
    other.stop()
    lines, theirs = written()[0], other.bench.lines
    assert first([*lines, *theirs])[0] == f"audit.jsonl:{len(lines) + 1}"
    assert first([*lines[:12], *theirs[12:]])[0] == "audit.jsonl:13"
    assert "from another log" in first([*lines[:12], *theirs[12:]])[1]
    assert first([*lines[:12], *theirs[12:15], *lines[12:]])[0] == "audit.jsonl:13"


def test_a_clock_that_was_set_back_is_named_and_a_second_is_not(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.wait(3600)
    history.bench.clock.set_back(1)
    history.secured()
    before = len(history.bench.lines)
    history.bench.clock.set_back(7200)
    history.secured()
    verifier = Verifier()
    for number, line in enumerate(history.bench.lines, start=1):
        verifier.take(line, f"audit.jsonl:{number}")
    (finding,) = verifier.end().findings
    assert finding.place == f"audit.jsonl:{before + 1}"
    assert "the clock was set back by 2:00:00" in finding.words


def test_a_line_put_in_is_named_whatever_it_is() -> None:
    for put in (b"\n", b"[]\n", b"nonsense\n", b'{"seq":11,"seq":12}\n', b"\xff\xfe\n", b"{" * 5000 + b"\n"):
        lines = list(written()[0])
        lines.insert(10, put)
        assert first(lines) == (
            "audit.jsonl:11",
            "it is no record: it was changed, or it was never written by the gateway",
        )
        assert len(verify(lines).findings) == 1, "what follows is as it was"


def test_a_log_whose_chain_was_taken_off_is_not_intact() -> None:
    bare = []
    for line in written()[0]:
        record = json.loads(line)
        del record["hash"], record["prev_hash"]
        bare.append(json.dumps(record).encode() + b"\n")
    found = verify(bare)
    assert not found.intact
    assert first([*written()[0][:10], *bare[10:]])[0] == "audit.jsonl:11"
    some = verify([*bare[:10], *written()[0][10:]])
    assert not some.intact, "the first with a chain names a hash that the line before it does not have"


# --- calls


def sealed_log(*records: dict[str, Any]) -> list[bytes]:
    """A log with a good chain of records that no gateway would write so."""
    lines, head = [], GENESIS
    for seq, record in enumerate(records, start=1):
        line, head = sealed(canonical({"v": 2, "seq": seq, "ts": "2026-11-01T08:00:00.000000Z", **record})[:-1], head)
        lines.append(line)
    return lines


def begins(uid: str) -> dict[str, Any]:
    return {"type": "call.start", "call_uid": uid}


def ends(uid: str) -> dict[str, Any]:
    return {"type": "call.final", "call_uid": uid}


@pytest.mark.parametrize(
    ("records", "place", "words"),
    [
        ([begins("a"), ends("a"), ends("a")], 3, "the call c-a ends a second time"),
        ([begins("a"), begins("a")], 2, "the call c-a begins a second time"),
        ([begins("a"), ends("a"), begins("a")], 3, "the call c-a begins a second time"),
        ([begins("a"), ends("b")], 2, "the call c-b ends here and never began"),
        (
            [begins("a"), begins("b"), ends("b"), {"type": "admin.start"}],
            4,
            "the gateway started anew, and these calls have no end: c-a",
        ),
        (
            [begins("a"), {"type": "admin.stop", "all_ended": True}],
            2,
            "the gateway stopped, all calls being ended, and these calls have no end: c-a",
        ),
    ],
)
def test_every_call_has_one_beginning_and_one_end(records: list[dict[str, Any]], place: int, words: str) -> None:
    assert first(sealed_log(*records)) == (f"audit.jsonl:{place}", words)


def test_calls_go_on_while_the_gateway_runs_and_lost_records_are_allowed_for() -> None:
    assert verify(sealed_log(begins("a"))).intact
    dropped = {"type": "log.dropped", "first_seq": 1, "last_seq": 1, "dropped": 1}
    assert verify(sealed_log(dropped, ends("a"))).intact
    unread = {"type": "log.recovered", "cause": "crash", "complete": False}
    assert verify(sealed_log(begins("a"), begins("b"), unread, ends("b"), {"type": "admin.start"})).intact
    begun_anew = [begins("a"), unread, {"type": "admin.start"}, begins("b"), {"type": "admin.start"}]
    assert "these calls have no end: c-b" in first(sealed_log(*begun_anew))[1]


def test_a_log_that_has_heartbeats_and_was_silent_all_the_same_is_told_of(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.wait(600)
    assert not any("silent" in remark for remark in verify(history.bench.lines).remarks)
    history.bench.clock.seconds += 900
    history.secured()
    history.bench.clock.seconds += 3600
    history.secured()
    (remark,) = (remark for remark in verify(history.bench.lines).remarks if "silent" in remark)
    assert remark.startswith("the log was silent, without heartbeats, 2 times; longest for 3600 s before record")


def test_numbers_that_are_missing_in_a_good_chain_are_told_of() -> None:
    record: dict[str, Any] = {"type": "auth.ok"}
    lines = sealed_log(record)
    line, _ = sealed(
        canonical({"v": 2, "seq": 5, "ts": "2026-11-01T08:00:00.000000Z", **record})[:-1], json.loads(lines[0])["hash"]
    )
    assert "records 2 to 4 are missing and no record says why" in first([*lines, line])[1]


# --- whatever it is


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_no_single_change_to_a_log_stays_unnoticed(data: st.DataObject) -> None:
    lines = list(written()[0])
    place = data.draw(st.integers(1, len(lines) - 2))
    what = data.draw(st.sampled_from(["octet", "delete", "copy", "swap"]))
    match what:
        case "octet":
            offset = data.draw(st.integers(0, len(lines[place]) - 2))
            octet = data.draw(st.integers(32, 126).filter(lambda value: value != lines[place][offset]))
            lines[place] = lines[place][:offset] + bytes([octet]) + lines[place][offset + 1 :]
        case "delete":
            del lines[place]
        case "copy":
            lines.insert(data.draw(st.integers(place + 1, len(lines))), lines[place])
        case _:
            lines[place], lines[place + 1] = lines[place + 1], lines[place]
    where = int(first(lines)[0].partition(":")[2])
    assert where >= place + 1
    if what != "copy":
        assert where in (place + 1, place + 2), "the bad record, or the one that no longer follows it"


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from(written()[0]), max_size=6))
def test_whatever_is_given_for_a_log_is_judged_in_harmless_words(lines: list[bytes]) -> None:
    found = verify(lines)
    for finding in found.findings:
        assert finding.line.isprintable()


def test_findings_and_remarks_are_bounded() -> None:
    found = verify([b"nonsense\n"] * (MAX_FINDINGS * 3))
    assert len(found.findings) == MAX_FINDINGS
    assert found.more_findings == MAX_FINDINGS * 2
