"""Certificate files that change under a running gateway: taken whole or not at all, and told of."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.base.counters import Counter, Counters
from gateway.config.certificates import KeyPair
from gateway.renewal.files import Watched
from gateway.renewal.watch import RETRY_SECONDS, CertificateWatch
from gateway.trunks.model import ListenerTls, TrunkTls
from gateway.trunks.tls import client_context, server_context
from tests.certificates import DAY, Credential, make_authority, make_certificate
from tests.rig.hosted import until

pytestmark = pytest.mark.asyncio

NEW = make_certificate("new")
P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve in a certificate (RFC 5480 2.1.1.1)."""


class Wardrobe:
    """A listener's files, and what was made of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = datetime.datetime.now(datetime.UTC).timestamp()
        self.used: list[ssl.SSLContext] = []
        self.counters = Counters()
        certificate, key = make_certificate("old").write(directory, "gw")
        ca, _ = make_authority().write(directory, "ca")
        tls = ListenerTls(certificate, key, client_ca=ca)
        entry = Watched(
            "listen.tls",
            KeyPair(certificate, key, None),
            ("client_ca", ca),
            partial(server_context, tls),
            self.used.append,
        )
        self.watch = CertificateWatch([entry], self.counters, now=lambda: self.now, every=0.01)
        for entry in self.watch._watched:
            self.watch._states[entry.key].taken = entry.stamp()

    def write(self, credential: Credential, *, only: str = "") -> None:
        """Put a pair in the place of the old one, or one half of it."""
        fresh = self.directory / "fresh"
        fresh.mkdir(exist_ok=True)
        for path in credential.write(fresh, "gw"):
            if path.suffix != only:
                os.replace(path, self.directory / path.name)

    async def looks(self, times: int = 2) -> None:
        for _ in range(times):
            await self.watch.look()


@pytest.fixture
def wardrobe(tmp_path: Path) -> Wardrobe:
    return Wardrobe(tmp_path)


async def test_files_that_did_not_change_are_not_read_again(wardrobe: Wardrobe) -> None:
    await wardrobe.looks(5)
    assert wardrobe.used == []


async def test_a_new_pair_is_taken_once_it_has_settled(wardrobe: Wardrobe) -> None:
    wardrobe.write(NEW)
    await wardrobe.looks(1)
    assert wardrobe.used == []
    await wardrobe.looks(3)
    assert len(wardrobe.used) == 1
    assert wardrobe.counters[Counter.CERTIFICATES_LOADED] == 1


async def test_whoever_asks_has_everything_read_at_once(wardrobe: Wardrobe) -> None:
    wardrobe.write(NEW)
    await wardrobe.watch.look(asked=True)
    assert len(wardrobe.used) == 1
    await wardrobe.looks()
    assert len(wardrobe.used) == 1
    await wardrobe.watch.look(asked=True)
    assert len(wardrobe.used) == 2


def spoil_certificate(wardrobe: Wardrobe) -> str:
    (wardrobe.directory / "gw.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")
    return "holds no readable PEM certificate"


def half_renewed(wardrobe: Wardrobe) -> str:
    wardrobe.write(NEW, only=".key")
    return "the key does not belong to the first certificate"


def removed(wardrobe: Wardrobe) -> str:
    (wardrobe.directory / "gw.key").unlink()
    return "there is no file"


def expired(wardrobe: Wardrobe) -> str:
    wardrobe.write(make_certificate("late", expired=True))
    return "the certificate expired on"


def early(wardrobe: Wardrobe) -> str:
    wardrobe.write(make_certificate("early", begins=DAY))
    return "is not valid before"


def emptied(wardrobe: Wardrobe) -> str:
    (wardrobe.directory / "gw.pem").write_text("")
    return "holds no readable PEM certificate"


def spoil_authority(wardrobe: Wardrobe) -> str:
    (wardrobe.directory / "ca.pem").write_text("nothing")
    return "holds no readable PEM certificate"


def a_directory(wardrobe: Wardrobe) -> str:
    (wardrobe.directory / "gw.key").unlink()
    (wardrobe.directory / "gw.key").mkdir()
    return "there is no file"


def of_an_unknown_kind(wardrobe: Wardrobe) -> str:
    """For a key on a curve nobody knows: whoever signs certificates knows some that we do not."""
    der = make_certificate("odd").certificate.public_bytes(Encoding.DER)
    odd = der.replace(P256, P256[:-1] + b"\x63")
    assert odd != der
    (wardrobe.directory / "gw.pem").write_text(ssl.DER_cert_to_PEM_cert(odd))
    return "holds a certificate for a key of an unknown kind"


@pytest.mark.parametrize(
    "spoil",
    [
        of_an_unknown_kind,
        spoil_certificate,
        half_renewed,
        removed,
        expired,
        early,
        emptied,
        spoil_authority,
        a_directory,
    ],
)
async def test_a_broken_file_keeps_the_old_one_and_is_told_once_with_file_and_remedy(
    wardrobe: Wardrobe, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    why = spoil(wardrobe)  # type: ignore[operator]
    with caplog.at_level(logging.INFO):
        await wardrobe.looks(6)
    assert wardrobe.used == []
    assert wardrobe.watch.refused == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert "certificates=listen.tls state=kept file=" in line
    assert str(wardrobe.directory) in line
    assert why in line
    assert "; remedy: " in line
    assert wardrobe.counters[Counter.CERTIFICATES_REFUSED] == 1


async def test_what_is_tried_again_in_vain_is_not_told_again(
    wardrobe: Wardrobe, caplog: pytest.LogCaptureFixture
) -> None:
    half_renewed(wardrobe)
    for _ in range(4):
        wardrobe.now += RETRY_SECONDS
        await wardrobe.looks()
    assert len(caplog.records) == 1
    emptied(wardrobe)
    await wardrobe.looks()
    assert len(caplog.records) == 2


async def test_after_a_broken_file_a_good_one_is_taken(wardrobe: Wardrobe) -> None:
    half_renewed(wardrobe)
    await wardrobe.looks()
    assert wardrobe.watch.refused == 1
    wardrobe.write(NEW)
    await wardrobe.looks()
    assert (len(wardrobe.used), wardrobe.watch.refused) == (1, 0)


async def test_a_certificate_that_was_too_early_is_taken_when_its_time_has_come(wardrobe: Wardrobe) -> None:
    early(wardrobe)
    await wardrobe.looks()
    assert wardrobe.used == []
    wardrobe.now += RETRY_SECONDS
    await wardrobe.looks()
    assert wardrobe.used == []
    wardrobe.now += DAY.total_seconds()
    await wardrobe.looks(1)
    assert (len(wardrobe.used), wardrobe.watch.refused) == (1, 0)


async def test_a_link_that_is_turned_to_other_files_is_a_change(tmp_path: Path) -> None:
    """As certbot and Kubernetes renew: the path stays, what is behind it does not."""
    for name, credential in (("one", make_certificate("old")), ("two", NEW)):
        (tmp_path / name).mkdir()
        credential.write(tmp_path / name, "gw")
    (tmp_path / "live").symlink_to("one")
    certificate, key = tmp_path / "live" / "gw.pem", tmp_path / "live" / "gw.key"
    used: list[ssl.SSLContext] = []
    make = partial(server_context, ListenerTls(certificate, key))
    entry = Watched("listen.tls", KeyPair(certificate, key, None), None, make, used.append)
    watch = CertificateWatch([entry], Counters(), now=lambda: datetime.datetime.now(datetime.UTC).timestamp())
    watch._states["listen.tls"].taken = entry.stamp()
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "live")
    for _ in range(2):
        await watch.look()
    assert len(used) == 1


def spoiled(entry: Watched) -> Watched:
    assert entry.pair is not None
    entry.pair.certificate.write_text("")
    return entry


def surprising(entry: Watched) -> Watched:
    def make() -> ssl.SSLContext:
        raise RuntimeError("nobody foresaw this")

    return replace(entry, make=make)


@pytest.mark.parametrize("broken", [spoiled, surprising])
async def test_one_broken_file_keeps_no_other_from_being_taken_and_is_told_once(
    tmp_path: Path, broken: Callable[[Watched], Watched], caplog: pytest.LogCaptureFixture
) -> None:
    used: dict[str, list[ssl.SSLContext]] = {"a": [], "b": []}
    entries = []
    for name in used:
        certificate, key = make_certificate(name).write(tmp_path, name)
        tls = TrunkTls(certificate=certificate, key=key)
        pair = KeyPair(certificate, key, None)
        entries.append(Watched(name, pair, None, partial(client_context, tls), used[name].append))
    taken = {entry.key: entry.stamp() for entry in entries}
    NEW.write(tmp_path, "a")
    NEW.write(tmp_path, "b")
    entries[0] = broken(entries[0])
    watch = CertificateWatch(entries, Counters(), now=lambda: datetime.datetime.now(datetime.UTC).timestamp())
    for entry in entries:
        watch._states[entry.key].taken = taken[entry.key]
    for _ in range(4):
        await watch.look()
    assert [len(used[name]) for name in used] == [0, 1]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "certificates=a state=kept" in line


async def test_the_watch_goes_on_by_itself_and_stops(wardrobe: Wardrobe) -> None:
    tasks = asyncio.all_tasks()
    wardrobe.watch.start()
    wardrobe.write(NEW)
    await until(lambda: wardrobe.used, "a new pair")
    wardrobe.watch.reload()
    await until(lambda: len(wardrobe.used) == 2, "all anew")
    await wardrobe.watch.stop()
    assert asyncio.all_tasks() == tasks


async def test_an_error_nobody_foresaw_ends_no_watch(wardrobe: Wardrobe, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_context: ssl.SSLContext) -> None:
        object.__setattr__(wardrobe.watch._watched[0], "use", wardrobe.used.append)
        raise RuntimeError("a defect")

    object.__setattr__(wardrobe.watch._watched[0], "use", fails)
    wardrobe.watch.start()
    wardrobe.watch.reload()
    await until(lambda: "a defect" in caplog.text, "the defect")
    wardrobe.watch.reload()
    await until(lambda: wardrobe.used, "another look")
    await wardrobe.watch.stop()


@pytest.mark.parametrize(("ends", "told"), [(40, 0), (29, 1), (6, 1), (0.5, 1)])
async def test_what_ends_soon_is_told_with_its_key_and_file(
    wardrobe: Wardrobe, caplog: pytest.LogCaptureFixture, ends: float, told: int
) -> None:
    wardrobe.write(make_certificate("soon", ends=ends * DAY))
    (wardrobe.directory / "ca.pem").write_bytes(_pem(make_certificate("CA", authority=True, ends=400 * DAY)))
    with caplog.at_level(logging.WARNING):
        await wardrobe.watch.look(asked=True)
        await wardrobe.looks(3)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == told
    assert all(
        f"certificate=listen.tls.certificate file={wardrobe.directory}/gw.pem expires on" in line for line in lines
    )


async def test_the_certificate_a_trunk_shows_is_told_of_with_the_trunk(
    wardrobe: Wardrobe, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        wardrobe.watch.peer_shown("pbx", "ab" * 32, wardrobe.now + 5.5 * DAY.total_seconds())
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"trunk=pbx certificate sha256={'ab' * 32} expires on" in line
    assert "in 5 days" in line
    wardrobe.watch.peer_shown("pbx", "", 0.0)
    assert len(list(wardrobe.watch.book.rows())) == 1


def _pem(credential: Credential) -> bytes:
    return credential.certificate.public_bytes(Encoding.PEM)
