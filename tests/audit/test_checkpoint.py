"""Checkpoints and heartbeats: when they are written, what they say, and who can rely on them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from gateway.audit import heartbeat, signing_key
from gateway.audit.checkpoint import is_genuine, log_id_of
from gateway.audit.heartbeat import CHECKPOINT_RECORDS, CHECKPOINT_SECONDS, HEARTBEAT_SECONDS
from gateway.base.counters import Counter
from gateway.base.errors import ConfigError
from gateway.cli.commands import cli
from tests.audit.audit_bench import AuditBench
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk


@pytest.fixture
def bench(tmp_path: Path) -> AuditBench:
    made = AuditBench(tmp_path, buffer_octets=1 << 20)
    made.log.open()
    return made


def checkpoints(bench: AuditBench) -> list[dict[str, Any]]:
    return [record for record in bench.records if record["type"] == "log.checkpoint"]


def tick(bench: AuditBench, seconds: int) -> None:
    bench.clock.seconds += seconds
    bench.log.watch()


def test_a_checkpoint_says_what_the_record_before_it_was_and_names_the_checkpoint_before(bench: AuditBench) -> None:
    for _ in range(3):
        bench.write({"type": "x"})
        tick(bench, CHECKPOINT_SECONDS)
    before = {record["seq"]: record for record in bench.records}
    found = checkpoints(bench)
    assert len(found) == 3
    for checkpoint in found:
        assert checkpoint["size"] == checkpoint["seq"] - 1
        assert checkpoint["head"] == before[checkpoint["size"]]["hash"] == checkpoint["prev_hash"]
    hashes = ["0" * 64, *(checkpoint["hash"] for checkpoint in found)]
    assert [checkpoint["prev_checkpoint"] for checkpoint in found] == hashes[:-1]
    assert broken(bench.lines) == []


def test_a_checkpoint_is_signed_so_that_a_library_of_keys_is_enough_to_check_it(bench: AuditBench) -> None:
    bench.write({"type": "x"})
    tick(bench, 0)
    (checkpoint,) = checkpoints(bench)
    names = ("head", "log_id", "prev_checkpoint", "size", "ts")
    said = json.dumps({name: checkpoint[name] for name in names}, separators=(",", ":")).encode()
    printed = CliRunner().invoke(cli, ["audit", "key", str(bench.directory)])
    key: Any = load_pem_public_key(printed.stdout.encode())
    key.verify(base64.b64decode(checkpoint["signature"]), said)
    assert checkpoint["log_id"] == hashlib.sha256(key.public_bytes_raw()).hexdigest()
    assert checkpoint["log_id"] in printed.stderr


@pytest.mark.parametrize("name", ["head", "size", "ts", "prev_checkpoint", "log_id", "signature"])
@pytest.mark.parametrize("value", [None, 7, "", "AAAA", "ü", {}])
def test_a_checkpoint_that_was_changed_is_not_genuine(bench: AuditBench, name: str, value: object) -> None:
    bench.write({"type": "x"})
    tick(bench, 0)
    (checkpoint,) = checkpoints(bench)
    key = signing_key.load(bench.directory / "audit.key").public_key()
    assert is_genuine(checkpoint, key)
    assert not is_genuine(checkpoint | {name: value}, key)
    assert not is_genuine(checkpoint, Ed25519PrivateKey.generate().public_key())


def test_the_first_record_of_a_run_is_covered_at_once_and_others_within_a_minute(bench: AuditBench) -> None:
    bench.write({"type": "x"})
    tick(bench, 0)
    assert len(checkpoints(bench)) == 1
    bench.write({"type": "x"})
    tick(bench, CHECKPOINT_SECONDS - 1)
    assert len(checkpoints(bench)) == 1
    tick(bench, 1)
    assert len(checkpoints(bench)) == 2


def test_a_thousand_records_are_covered_however_fast_they_came(bench: AuditBench) -> None:
    for _ in range(2 * CHECKPOINT_RECORDS):
        bench.write({"type": "x"})
    assert [checkpoint["size"] for checkpoint in checkpoints(bench)] == [CHECKPOINT_RECORDS, 2 * CHECKPOINT_RECORDS]


def test_a_quiet_log_says_once_a_minute_that_it_is_there(bench: AuditBench) -> None:
    bench.counters.add(Counter.CALLS_STARTED, 3)
    bench.counters.add(Counter.CALLS_ENDED, 1)
    bench.write({"type": "x"})
    tick(bench, 0)
    for _ in range(3 * HEARTBEAT_SECONDS):
        tick(bench, 1)
    beats = [record for record in bench.records if record["type"] == "log.heartbeat"]
    assert [(beat["records"], beat["calls"], beat["waiting"], beat["dropped"]) for beat in beats] == [
        (2, 2, 0, 0),
        (2, 2, 0, 0),
        (2, 2, 0, 0),
    ]
    assert len(checkpoints(bench)) == 4


def test_an_outage_is_covered_when_it_is_over_and_its_checkpoints_do_not_wait_in_memory(
    bench: AuditBench, disk: FailingDisk
) -> None:
    bench.write({"type": "x"})
    disk.room = 0
    for _ in range(5):
        bench.write({"type": "x"})
        tick(bench, CHECKPOINT_SECONDS)
    assert checkpoints(bench) == []
    disk.room = None
    tick(bench, 1)
    tick(bench, 1)
    assert [record["type"] for record in bench.records][-3:] == ["log.recovered", "log.heartbeat", "log.checkpoint"]
    assert broken(bench.lines) == []


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_checkpoints_of_several_runs_hang_together(tmp_path: Path, orderly: bool) -> None:
    for run in range(3):
        made = AuditBench(tmp_path, buffer_octets=1 << 20)
        made.log.open()
        made.write({"type": "admin.start", "recovered": 0})
        made.log.checkpoint()
        for _ in range(900 if run else 1):
            made.write({"type": "x", "pad": "y" * 250})  # far more than the end of a file that is looked at first
        if orderly:
            made.write({"type": "admin.stop", "all_ended": True})
            made.log.checkpoint()
            made.log.close()
        else:
            made.writer.close_files()
    found = checkpoints(made)
    assert [c["prev_checkpoint"] for c in found] == ["0" * 64, *(c["hash"] for c in found[:-1])]
    assert len({checkpoint["log_id"] for checkpoint in found}) == 1
    assert broken(made.lines) == []
    crashes = [record for record in made.records if record["type"] == "log.recovered"]
    assert len(crashes) == (0 if orderly else 2)


def test_the_key_is_made_once_and_for_the_gateway_alone(tmp_path: Path) -> None:
    path = tmp_path / signing_key.FILE_NAME
    made = signing_key.load_or_make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert log_id_of(signing_key.load_or_make(path).public_key()) == log_id_of(made.public_key())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_key_may_be_kept_elsewhere(tmp_path: Path) -> None:
    place = tmp_path / "secrets" / "log.pem"
    place.parent.mkdir()
    made = AuditBench(tmp_path / "log", signing_key=place)
    made.log.open()
    made.write({"type": "x"})
    tick(made, 0)
    assert is_genuine(checkpoints(made)[0], signing_key.load_public(place))
    assert not (made.directory / signing_key.FILE_NAME).exists()


def pem(key: Any, password: bytes = b"") -> bytes:
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
    return text


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (pem(Ed25519PrivateKey.generate()), 0o644),
        (pem(Ed25519PrivateKey.generate()), 0o620),
        (pem(Ed25519PrivateKey.generate(), b"secret"), 0o600),
        (pem(X25519PrivateKey.generate()), 0o600),
        (b"", 0o600),
        (b"-----BEGIN PRIVATE KEY-----\n", 0o600),
    ],
    ids=["others-read", "group-writes", "password", "other-kind", "empty", "half"],
)
def test_a_key_that_cannot_be_relied_on_stops_the_start_and_is_kept(tmp_path: Path, content: bytes, mode: int) -> None:
    path = tmp_path / signing_key.FILE_NAME
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        AuditBench(tmp_path).log.open()
    assert caught.value.remedy
    assert path.read_bytes() == content


def test_a_key_that_is_a_link_or_no_file_stops_the_start(tmp_path: Path) -> None:
    for make in (lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero"), os.mkfifo):
        path = tmp_path / "place" / signing_key.FILE_NAME
        path.parent.mkdir(exist_ok=True)
        make(path)
        with pytest.raises(ConfigError):
            AuditBench(path.parent).log.open()
        path.rename(tmp_path / f"{make}")


def test_a_key_that_cannot_be_made_stops_the_start_and_leaves_no_half_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        signing_key.load_or_make(tmp_path / "missing" / "audit.key")
    assert list(tmp_path.iterdir()) == []


def test_a_pulse_that_was_just_felt_is_not_due() -> None:
    pulse = heartbeat.Pulse(5)
    assert not pulse.wants_heartbeat(6)
    assert not pulse.wants_checkpoint(6)
    pulse.count(1)
    assert pulse.wants_checkpoint(6)
    pulse.signed(6)
    assert not pulse.wants_checkpoint(7)


def test_what_is_written_is_counted_and_what_waits_ages(bench: AuditBench) -> None:
    bench.write({"type": "x"})
    assert (bench.log.records_written, bench.log.lag_seconds) == (1, 0.0)
    bench.writer.hangs = True
    bench.write({"type": "x"})
    bench.clock.seconds += 2
    assert (bench.log.records_written, bench.log.lag_seconds) == (1, 2.0)
    bench.writer.answer()
    assert (bench.log.records_written, bench.log.lag_seconds) == (2, 0.0)
