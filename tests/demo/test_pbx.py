"""The demonstration's phones, each called over its own transport."""

from __future__ import annotations

import os
import signal
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pylibsrtp import Policy, Session

from gateway.demo.certificates import Certificates, create
from gateway.demo.roles import MAX_CALLS, ROLES
from tests.demo.caller import (
    KEY,
    LIMIT,
    DemoCaller,
    address_of,
    crypto_key,
    header,
    media_address,
    media_line,
    phone,
    status,
)

pytest.importorskip("pjsua2", reason="pjsua2 has no build for this Python or machine")
pytestmark = pytest.mark.interop

PORT = 15170
MILLIWATT = bytes.fromhex("1e0b0b1e9e8b8b9e")
"""1000 Hz in mu-law, one period (ITU-T G.711 table 5)."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return create(tmp_path_factory.mktemp("certificates"))


def tls_arguments(certificates: Certificates) -> tuple[str, ...]:
    return ("--certificate", str(certificates.pbx.certificate), "--key", str(certificates.pbx.key))


def client_context(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca.certificate)


def call_phone(role: str, transport: str, tls: ssl.SSLContext | None = None) -> DemoCaller:
    host, _, port = address_of(role, PORT).rpartition(":")
    return DemoCaller((host, int(port)), transport, tls)


def rtp_packet(sequence: int, payload: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence, sequence * 160, 0x1234) + payload


def mu_law(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Decodes G.711 mu-law (ITU-T G.711)."""
    value = ~np.frombuffer(data, np.uint8)
    magnitude = (((value & 0x0F).astype(np.int32) << 3) + 0x84 << ((value & 0x70) >> 4)) - 0x84
    return np.where(value & 0x80, -magnitude, magnitude).astype(np.float64)


def strongest_hertz(payloads: list[bytes]) -> float:
    samples = mu_law(b"".join(payloads))
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 8000 / len(samples)


def test_echo_phone_answers_and_sends_the_audio_back() -> None:
    with phone("echo", address_of("echo", PORT)), call_phone("echo", "udp") as caller:
        answer = caller.invite("echo-1")
        assert status(answer) == 200
        assert media_line(answer).split(" ")[2] == "RTP/AVP"
        assert "a=crypto" not in answer
        heard = []
        for sequence in range(60):
            caller.rtp.sendto(rtp_packet(sequence, MILLIWATT * 20), media_address(answer))
            heard.append(caller.rtp.recv(2048)[12:])  # the phone's own clock paces the loop
        assert abs(strongest_hertz(heard[20:]) - 1000) < 10
        assert caller.bye("echo-1", answer) == 200


def test_phone_rings_before_it_answers() -> None:
    with phone("echo", address_of("echo", PORT)), call_phone("echo", "udp") as caller:
        caller.send("INVITE", "ring", body=caller.offer("RTP/AVP", False))
        seen = [status(caller.receive())]
        while seen[-1] < 200:
            seen.append(status(caller.receive()))
        assert 180 in seen
        assert seen[-1] == 200


def test_call_above_the_cap_gets_486() -> None:
    with phone("echo", address_of("echo", PORT)), call_phone("echo", "udp") as caller:
        answers = [status(caller.invite(f"cap-{n}")) for n in range(MAX_CALLS + 1)]
    assert answers == [200] * MAX_CALLS + [486]


def test_slot_of_an_ended_call_is_free_again() -> None:
    with phone("echo", address_of("echo", PORT)), call_phone("echo", "udp") as caller:
        for n in range(3 * MAX_CALLS):
            answer = caller.invite(f"again-{n}")
            assert status(answer) == 200
            assert caller.bye(f"again-{n}", answer) == 200


def decrypted_tone(caller: DemoCaller, answer: str) -> list[bytes]:
    session = Session(Policy(key=crypto_key(answer), ssrc_type=Policy.SSRC_ANY_INBOUND))
    return [session.unprotect(caller.rtp.recv(2048))[12:] for _ in range(110)]  # more than the second the tone lasts


def test_tone_phone_sends_440_hz_over_srtp(certificates: Certificates) -> None:
    with (
        phone("tone", address_of("tone", PORT), *tls_arguments(certificates)),
        call_phone("tone", "tls", client_context(certificates)) as caller,
    ):
        answer = caller.invite("tone-1", proto="RTP/SAVP", crypto=True)
        assert status(answer) == 200
        assert media_line(answer).split(" ")[2] == "RTP/SAVP"
        assert len(crypto_key(answer)) == len(KEY)
        assert abs(strongest_hertz(decrypted_tone(caller, answer)[20:]) - 440) < 10
        assert caller.bye("tone-1", answer) == 200


def test_tone_phone_refuses_plain_rtp(certificates: Certificates) -> None:
    with (
        phone("tone", address_of("tone", PORT), *tls_arguments(certificates)),
        call_phone("tone", "tls", client_context(certificates)) as caller,
    ):
        assert status(caller.invite("tone-2", proto="RTP/AVP")) == 488


def test_refused_phone_refuses_srtp_and_takes_plain_rtp(certificates: Certificates) -> None:
    with (
        phone("refused", address_of("refused", PORT), *tls_arguments(certificates)),
        call_phone("refused", "tls", client_context(certificates)) as caller,
    ):
        assert status(caller.invite("refused-1", proto="RTP/SAVP", crypto=True)) == 488
        assert status(caller.invite("refused-2", proto="RTP/AVP")) == 200


@pytest.mark.parametrize("crypto", [True, False])
def test_osrtp_phone_encrypts_when_it_is_offered_a_key(crypto: bool) -> None:
    with phone("osrtp", address_of("osrtp", PORT)), call_phone("osrtp", "tcp") as caller:
        answer = caller.invite("osrtp-1", proto="RTP/AVP", crypto=crypto)
        assert status(answer) == 200
        assert media_line(answer).split(" ")[2] == "RTP/AVP"
        assert ("a=crypto" in answer) is crypto


def test_callback_phone_hangs_up_and_calls_back() -> None:
    with call_phone("callback", "udp") as caller:
        with phone("callback", address_of("callback", PORT), "--gateway", caller.local, "--number", "1001"):
            caller.invite("callback-1")
            bye = caller.request("BYE")
            assert header(bye, "Call-ID") == "callback-1"
            invite = caller.request("INVITE")
            assert invite.startswith(f"INVITE sip:1001@{caller.local} SIP/2.0")
            assert header(invite, "Call-ID") != "callback-1"
            assert "a=crypto" not in invite


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_phone_ends_cleanly_when_told_to(number: signal.Signals) -> None:
    with phone("echo", address_of("echo", PORT)) as process:
        process.send_signal(number)
        assert process.wait(LIMIT) == 0


def test_phone_leaves_no_file_however_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with phone("echo", address_of("echo", PORT)) as process:
        process.kill()
        process.wait(LIMIT)
    assert list(tmp_path.iterdir()) == []


PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "gateway.demo.pbx", "--role", "echo", "--address", sys.argv[1],
                          "--parent", str(os.getpid())], stdout=subprocess.PIPE, text=True)
while child.stdout.readline() != "ready\\n":
    pass
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_phone_dies_with_a_parent_that_was_killed() -> None:
    command = [sys.executable, "-c", PARENT, address_of("echo", PORT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=dict(os.environ), check=False)
    pid = int(result.stdout.split()[-1])
    deadline = time.monotonic() + LIMIT
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_taken_port_is_told_and_ends_the_phone() -> None:
    with phone("echo", address_of("echo", PORT)):
        command = [sys.executable, "-m", "gateway.demo.pbx", "--role", "echo", "--address", address_of("echo", PORT)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert result.returncode == 1
    assert "Address already in use" in result.stdout


def test_tls_role_without_certificate_is_refused() -> None:
    command = [sys.executable, "-m", "gateway.demo.pbx", "--role", "tone"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert result.returncode == 2
    assert "--certificate" in result.stderr


def test_every_phone_has_an_address_of_its_own() -> None:
    assert len({role.address.host for role in ROLES}) == len(ROLES)
    assert [role.number for role in ROLES] == ["600", "601", "602", "603", "604"]
