"""Certificates are renewed under a living call: it goes on, new connections see the new ones, broken ones nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from tests.certificates import DAY, Credential, dns, make_certificate
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.hosted import until
from tests.rig.hosted_scene import SDES, SDES_HOST, HostedScene, both_hear

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[HostedScene]:
    made = await HostedScene(tmp_path, setup={"sip": ("udp", "tls")}).start()
    try:
        yield made
    finally:
        await made.stop()


async def shown(address: HostPort, source: str = "127.0.0.1") -> bytes:
    """The certificate a new connection from there is greeted with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context, local_addr=(source, 0))
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    assert isinstance(found, bytes)
    return found


def replace_files(credential: Credential, certificate: Path, key: Path, spare: Path) -> None:
    spare.mkdir(exist_ok=True)
    for fresh, place in zip(credential.write(spare, "fresh"), (certificate, key), strict=True):
        os.replace(fresh, place)


def der(credential: Credential) -> bytes:
    return credential.certificate.public_bytes(Encoding.DER)


async def test_every_certificate_is_renewed_under_a_living_call_that_notices_nothing(scene: HostedScene) -> None:
    files, gateway = scene.setup.certificates, scene.host.gateway
    browser = await scene.browser()
    call, trunk, uid = await scene.call(browser, SDES)
    await both_hear(call, trunk)
    web, sip = gateway.web_address, HostPort("127.0.0.1", scene.setup.sip_tls_port)
    new_web = make_certificate("web", alternative_names=dns("localhost"))
    new_gateway = make_certificate("gateway", alternative_names=dns("gw.example"))
    replace_files(new_web, files.web.certificate, files.web.key, scene.setup.directory / "spare")
    replace_files(new_gateway, files.gateway.certificate, files.gateway.key, scene.setup.directory / "spare")
    for _ in range(2):
        await gateway.certificates.look()
    assert await shown(web) == der(new_web)
    assert await shown(sip, SDES_HOST) == der(new_gateway)
    await both_hear(call, trunk)
    trunk.hush()
    await call.hang_up()
    assert (await scene.host.final(uid))["termination"] == "hangup-browser"
    await browser.close()
    await scene.canary()


async def test_a_broken_file_changes_nothing_for_anybody(scene: HostedScene) -> None:
    files, gateway = scene.setup.certificates, scene.host.gateway
    before = await shown(gateway.web_address)
    files.web.certificate.write_text("half a certificate")
    files.ca.certificate.write_text("")
    gateway.certificates.reload()
    # the page, the listeners' client_ca, the trunk's ca
    await until(lambda: gateway.certificates.refused == 3, "three refusals")
    assert await shown(gateway.web_address) == before
    assert f"file={files.web.certificate}" in scene.host.log
    await scene.canary()


async def test_a_trunks_new_authority_counts_for_the_next_connection(scene: HostedScene) -> None:
    gateway = scene.host.gateway
    flow = await gateway.endpoint.connect("sdes")
    scene.setup.certificates.ca.certificate.write_bytes(
        make_certificate("Other CA", authority=True).certificate.public_bytes(Encoding.PEM)
    )
    await gateway.certificates.look(asked=True)
    assert gateway.endpoint.is_open(flow)
    assert await gateway.endpoint.connect("sdes") == flow
    channel = gateway.endpoint._channels.of(flow)
    assert channel is not None
    channel.abort()
    await until(lambda: not gateway.endpoint.is_open(flow), "the end of the connection")
    with pytest.raises(TransportError) as caught:
        await gateway.endpoint.connect("sdes")
    assert caught.value.verification


async def test_metrics_say_when_certificates_end_ours_and_the_trunks(scene: HostedScene) -> None:
    gateway = scene.host.gateway
    flow = await gateway.endpoint.connect("sdes")
    assert flow.tls is not None
    page = gateway.web._metrics.render().decode()
    assert 'sip_gateway_certificate_expires_timestamp_seconds{key="listen.web.certificate"}' in page
    name = 'sip_gateway_trunk_certificate_expires_timestamp_seconds{trunk="sdes"} '
    assert float(page.partition(name)[2].partition("\n")[0]) == flow.tls.expires
    assert "sip_gateway_certificates_outdated 0.0" in page
    assert DAY.total_seconds() < flow.tls.expires


async def test_whatever_the_configuration_names_is_watched(scene: HostedScene) -> None:
    watched = {entry.key: len(entry.files) for entry in scene.host.gateway.certificates._watched}
    assert watched == {"listen.web": 2, "listen.tls": 3, "trunks.plain.tls": 0, "trunks.sdes.tls": 1}


async def test_the_hangup_signal_has_all_certificates_read_anew(tmp_path: Path) -> None:
    process = await asyncio.to_thread(GatewayProcess(GatewaySetup(tmp_path, trunks={}, outbound=[])).start)
    try:
        os.kill(process.pid, signal.SIGHUP)
        await asyncio.to_thread(process.wait_log, "certificates=listen.web state=loaded")
    finally:
        await asyncio.to_thread(process.stop)
