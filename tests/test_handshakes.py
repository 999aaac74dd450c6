"""`check --connect`: what trunks over TLS prove, when their certificates end, and what to do about it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.base.values import HostPort
from gateway.cli import handshakes
from gateway.cli.handshakes import Shown, findings, words
from gateway.cli.preflight import Findings
from tests.certificates import DAY, Credential, dns, make_authority, make_certificate, pin
from tests.config.files import Files
from tests.net.test_tls_connection import AUTHORITY, DOMAIN, GOOD, tls_peer, trunk
from tests.rig.nameserver import nameserver
from tests.sites import made_trunk
from tests.test_cli import dns as known_names
from tests.test_cli import sip_gateway

__all__ = ["known_names"]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def shown(directory: Path, credential: Credential, **tls: Any) -> Shown:
    async with tls_peer(directory, credential) as peer:
        keys = tls or {"ca": AUTHORITY.write(directory, "ca")[0], "names": (DOMAIN,)}
        (found,) = await handshakes._all([trunk(directory, peer.address, tls=keys)])
    return found


@pytest.mark.asyncio
async def test_a_trunk_that_is_believed_is_told_with_the_end_of_its_certificate(tmp_path: Path) -> None:
    lasting = make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY, ends=90 * DAY + DAY / 2)
    found = await shown(tmp_path, lasting)
    assert findings([found], now()) == Findings((), ())
    told = words(found, now())
    assert told.startswith(f"verified as {DOMAIN}, TLSv1.3, certificate until ")
    assert told.endswith("(90 days)")


@pytest.mark.asyncio
async def test_a_certificate_that_ends_soon_is_a_warning_with_the_trunk(tmp_path: Path) -> None:
    found = findings([await shown(tmp_path, GOOD)], now())
    assert found.wrong == ()
    assert [error.key for error in found.busy] == ["trunks.pbx.tls"]
    assert "its certificate expires on" in found.busy[0].message
    assert "in 9 days" in found.busy[0].message


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("credential", "words_"),
    [
        (make_certificate(alternative_names=dns("x.example"), issuer=AUTHORITY), "for another name (it showed spki"),
        (make_certificate(alternative_names=dns(DOMAIN), issuer=make_authority("Other")), "local issuer certificate"),
        (make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY, expired=True), "certificate has expired"),
    ],
    ids=["name", "authority", "expired"],
)
async def test_a_trunk_that_is_not_believed_is_a_mistake(tmp_path: Path, credential: Credential, words_: str) -> None:
    (error,) = findings([await shown(tmp_path, credential)], now()).wrong
    assert error.key == "trunks.pbx.tls"
    assert words_ in error.message
    assert "tls.pin_sha256" in error.remedy


@pytest.mark.asyncio
async def test_a_pinned_certificate_is_told_as_such(tmp_path: Path) -> None:
    alone = make_certificate("asterisk")
    assert words(await shown(tmp_path, alone, pin_sha256=[pin(alone)]), now()).startswith("pinned, TLSv1.3")
    (error,) = findings([await shown(tmp_path, alone, pin_sha256=[pin(GOOD)])], now()).wrong
    assert pin(alone) in error.message


@pytest.mark.asyncio
async def test_each_target_is_asked_where_dns_has_its_servers_and_past_one_that_is_down(tmp_path: Path) -> None:
    async with tls_peer(tmp_path, GOOD) as peer, nameserver() as server:
        server.says(f"_sips._tcp.{DOMAIN}", "SRV", "1 1 9 down.example.", f"2 1 {peer.address.port} up.example.")
        server.says("down.example", "A", "127.0.0.1").says("up.example", "A", peer.address.host)
        tls = {"ca": AUTHORITY.write(tmp_path, "ca")[0]}
        places = [{"target": f"sip:{host};transport=tls"} for host in (DOMAIN, "nowhere.example")]
        pbx = made_trunk("", tls=tls, targets=places)
        found, lost = await handshakes._all([pbx], [server.address])
    assert found.info is not None
    assert (found.info.verified_name, found.refused) == (DOMAIN, "")
    (error,) = findings([lost], now()).busy
    assert (error.key, error.message) == (
        "trunks.pbx.targets",
        "no TLS connection to nowhere.example: DNS knows no address of it",
    )


@pytest.mark.asyncio
async def test_who_cannot_be_reached_is_a_warning(tmp_path: Path) -> None:
    (found,) = await handshakes._all([trunk(tmp_path, HostPort("127.0.0.1", 9))])
    assert [error.key for error in findings([found], now()).busy] == ["trunks.pbx.target"]


def test_check_connects_when_it_is_told_to(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.gateway = files.gateway.replace("sip:pbx.example.com;", "sip:127.0.0.1:9;")
    path = files.write()
    result = sip_gateway("check", "--elsewhere", "--connect", path)
    assert result.exit_code == 0
    assert "trunks.pbx.target: no TLS connection to 127.0.0.1: " in result.stderr
    assert "no TLS connection" not in sip_gateway("check", "--elsewhere", path).stderr


def test_check_prints_when_our_certificates_end(tmp_path: Path) -> None:
    files = Files(tmp_path)
    make_certificate("gw", ends=90 * DAY).write(tmp_path, "gw")
    files.gateway = files.gateway.replace("web: {", "web: {certificate: gw.pem, key: gw.key, ", 1)
    end = now() + 90 * DAY
    out = " ".join(sip_gateway("check", "--elsewhere", files.write()).stdout.split())
    assert f"certs listen.web.certificate until {end:%Y-%m-%d}" in out
