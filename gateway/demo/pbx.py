"""One phone of the demonstration PBX, in a process of its own: `python -m gateway.demo.pbx --role echo`.

It says `ready` on standard output once it can be called, and ends on SIGTERM or when the process that started it dies.
"""

from __future__ import annotations

import argparse
import array
import ctypes
import dataclasses
import heapq
import itertools
import logging
import math
import os
import signal
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import pjsua2 as pj

from gateway.base.values import HostPort
from gateway.demo.roles import BY_NAME, CALLBACK_NUMBER, MAX_CALLS, Behaviour, Role, Srtp

logger = logging.getLogger(__name__)

POLL_MILLISECONDS: Final = 20
"""How long PJSIP may wait for the network before timers and signals are looked at again."""
RING_SECONDS: Final = 0.3
"""Between 180 and 200, so that a caller hears a ring."""
TALK_SECONDS: Final = 1.0
"""How long the callback phone talks before it hangs up, and waits before it calls back."""
MAX_CALL_SECONDS: Final = 900.0
"""A call whose end got lost gives its slot back after this."""
CLOCK_RATE: Final = 16000
TONE_HERTZ: Final = 440
TONE_LEVEL: Final = 0.3
SUITE: Final = "AES_CM_128_HMAC_SHA1_80"
CODECS: Final = ("PCMU", "PCMA", "G722")
"""What the phones speak, preferred first; the rest of PJSIP's codecs is switched off."""
PR_SET_PDEATHSIG: Final = 1

TRANSPORTS: Final = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
SRTP_USE: Final = {
    Srtp.NEVER: pj.PJMEDIA_SRTP_DISABLED,
    Srtp.OPTIONAL: pj.PJMEDIA_SRTP_OPTIONAL,
    Srtp.ALWAYS: pj.PJMEDIA_SRTP_MANDATORY,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What one phone needs to know."""

    role: Role
    certificate: str = ""
    key: str = ""
    callback: str = ""
    """SIP URI the callback phone dials."""
    log: str = ""
    """File for PJSIP's own log; empty for none."""


class Schedule:
    """Things to do later, on the one thread that may talk to PJSIP."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._order), action))

    def run_due(self) -> None:
        while self._heap and self._heap[0][0] <= time.monotonic():
            heapq.heappop(self._heap)[2]()


class PhoneCall(pj.Call):  # type: ignore[misc]
    """A call in either direction."""

    def __init__(self, phone: Phone, call_id: int = -1, *, behaviour: Behaviour) -> None:
        super().__init__(phone.account, call_id)
        self.phone = phone
        self.behaviour = behaviour

    def onCallState(self, prm: object) -> None:
        info = self.getInfo()
        logger.info("call=%s state=%s status=%s", info.callIdString, info.stateText, info.lastStatusCode)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.ended(self)

    def onCallMediaState(self, prm: object) -> None:
        info = self.getInfo()  # must stay referenced: its `media` points into it
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.connect(self.getAudioMedia(index))

    def connect(self, audio: pj.AudioMedia) -> None:
        """Joins the call's audio to what the phone plays or sends back."""
        if self.behaviour is Behaviour.ECHO:
            audio.startTransmit(audio)
        elif self.behaviour is Behaviour.TONE:
            self.phone.tone.startTransmit(audio)

    def respond(self, status: int) -> None:
        parameters = pj.CallOpParam()
        parameters.statusCode = status
        attempt("respond", lambda: self.answer(parameters))

    def end(self) -> None:
        if self.isActive():
            attempt("hang up", lambda: self.hangup(pj.CallOpParam()))


class PhoneAccount(pj.Account):  # type: ignore[misc]
    """Hands incoming calls to the phone."""

    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self.phone = phone

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        self.phone.incoming(prm.callId)


class Phone:
    """A PJSIP endpoint with one transport, one account and one behaviour."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.role = options.role
        self.schedule = Schedule()
        self.calls: set[PhoneCall] = set()
        self._finished: list[PhoneCall] = []
        self._endpoint = start_endpoint(options)
        self.account = PhoneAccount(self)
        self.account.create(account_config(options))
        self.tone = open_tone()

    def incoming(self, call_id: int) -> None:
        """Ring, answer, and with the callback phone hang up and call back."""
        call = PhoneCall(self, call_id, behaviour=self.role.behaviour)
        self.calls.add(call)
        call.respond(pj.PJSIP_SC_RINGING)
        self.schedule.after(RING_SECONDS, lambda: self._answer(call))

    def _answer(self, call: PhoneCall) -> None:
        if call not in self.calls:  # the caller gave up while it rang
            return
        call.respond(pj.PJSIP_SC_OK)
        self.schedule.after(MAX_CALL_SECONDS, call.end)
        if self.role.behaviour is Behaviour.CALLBACK:
            self.schedule.after(TALK_SECONDS, call.end)
            self.schedule.after(2 * TALK_SECONDS, self._call_back)

    def _call_back(self) -> None:
        call = PhoneCall(self, behaviour=Behaviour.TONE)
        self.calls.add(call)
        if not attempt("call back", lambda: call.makeCall(self.options.callback, pj.CallOpParam(True))):
            self.calls.discard(call)
        self.schedule.after(MAX_CALL_SECONDS, call.end)

    def ended(self, call: PhoneCall) -> None:
        self.calls.discard(call)
        self._finished.append(call)  # PJSIP is still inside the object: it must outlive this callback

    def run(self, running: Callable[[], bool]) -> None:
        while running():
            self._endpoint.libHandleEvents(POLL_MILLISECONDS)
            self.schedule.run_due()
            self._finished.clear()

    def close(self) -> None:
        self._endpoint.libDestroy()


def attempt(what: str, action: Callable[[], None]) -> bool:
    """Does it; a call that just ended on the other side is no reason to stop the phone."""
    try:
        action()
    except pj.Error as error:
        logger.warning("%s failed: %s", what, error.reason)
        return False
    return True


def start_endpoint(options: Options) -> pj.Endpoint:
    """PJSIP without threads of its own for SIP, without a sound card, with one transport."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    endpoint.libInit(endpoint_config(options.log))
    endpoint.audDevManager().setNullDev()
    endpoint.transportCreate(TRANSPORTS[options.role.transport], transport_config(options))
    endpoint.libStart()
    for codec in endpoint.codecEnum2():
        endpoint.codecSetPriority(codec.codecId, codec_priority(codec.codecId))
    return endpoint


def endpoint_config(log: str) -> pj.EpConfig:
    config = pj.EpConfig()
    config.uaConfig.userAgent = "demo-pbx"
    config.uaConfig.maxCalls = MAX_CALLS
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.logConfig.consoleLevel = 0
    config.logConfig.level = 5 if log else 0
    config.logConfig.filename = log
    config.medConfig.clockRate = CLOCK_RATE
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    config.medConfig.sndAutoCloseTime = -1  # the clock keeps running between calls
    return config


def transport_config(options: Options) -> pj.TransportConfig:
    config = pj.TransportConfig()
    config.boundAddress = config.publicAddress = options.role.address.host
    config.port = options.role.address.port
    config.tlsConfig.certFile = options.certificate
    config.tlsConfig.privKeyFile = options.key
    config.tlsConfig.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3
    return config


def account_config(options: Options) -> pj.AccountConfig:
    role = options.role
    config = pj.AccountConfig()
    config.idUri = f"<sip:{role.number}@{role.address}>"
    media = config.mediaConfig
    media.transportConfig.boundAddress = media.transportConfig.publicAddress = role.address.host
    media.srtpUse = SRTP_USE[role.srtp]
    media.srtpSecureSignaling = 1 if role.srtp is Srtp.ALWAYS else 0
    media.srtpOpt.keyings.append(pj.PJMEDIA_SRTP_KEYING_SDES)
    suite = pj.SrtpCrypto()
    suite.name = SUITE
    media.srtpOpt.cryptos.append(suite)
    return config


def codec_priority(codec_id: str) -> int:
    """PJSIP's priority, 0 for off."""
    name = codec_id.partition("/")[0]
    return 255 - CODECS.index(name) if name in CODECS else 0


def open_tone() -> pj.AudioMediaPlayer:
    """A player of the tone. PJSIP keeps the file open, so its name can go at once: nothing stays, however we end."""
    player = pj.AudioMediaPlayer()
    with tempfile.TemporaryDirectory(prefix="sip-gateway-pbx-") as directory:
        player.createPlayer(str(write_tone(Path(directory) / "tone.wav")))
    return player


def write_tone(path: Path) -> Path:
    """One second of a sine with a whole number of periods, so that it loops without a click."""
    level = TONE_LEVEL * 32767
    step = 2 * math.pi * TONE_HERTZ / CLOCK_RATE
    samples = array.array("h", (round(level * math.sin(step * n)) for n in range(CLOCK_RATE)))
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(CLOCK_RATE)
        file.writeframes(samples.tobytes())
    return path


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent is gone (prctl(2), Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent and os.getppid() != parent:  # it died before we asked
        sys.exit(0)


def announce(line: str) -> None:
    """One line for the process that started us; after it nobody reads our standard output any more."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def parse_arguments(arguments: list[str] | None = None) -> tuple[Options, int]:
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.pbx", description=__doc__)
    parser.add_argument("--role", required=True, choices=sorted(BY_NAME))
    parser.add_argument("--address", help="host:port to listen on instead of the role's own")
    parser.add_argument("--certificate", default="", help="PEM file, for TLS roles")
    parser.add_argument("--key", default="", help="PEM file, for TLS roles")
    parser.add_argument("--gateway", default="127.0.0.1:5060", help="host:port the callback phone calls over UDP")
    parser.add_argument("--number", default=CALLBACK_NUMBER, help="number the callback phone dials")
    parser.add_argument("--log", default="", help="file for PJSIP's log")
    parser.add_argument("--parent", type=int, default=0, help="end when this process is not our parent")
    given = parser.parse_args(arguments)
    role = BY_NAME[given.role]
    if given.address:
        host, _, port = given.address.rpartition(":")
        role = dataclasses.replace(role, address=HostPort(host, int(port)))
    if role.transport == "tls" and not (given.certificate and given.key):
        parser.error(f"role {role.name} needs --certificate and --key")
    callback = f"sip:{given.number}@{given.gateway}"
    return Options(role, given.certificate, given.key, callback, given.log), given.parent


def main() -> NoReturn:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s pbx %(message)s")
    options, parent = parse_arguments()
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    die_with(parent)
    os._exit(serve(options, lambda: not stopping))  # the binding's destructors crash once the library is destroyed


def serve(options: Options, running: Callable[[], bool]) -> int:
    """Exit status: 0 after a normal stop, 1 when the phone could not start."""
    try:
        phone = Phone(options)
    except pj.Error as error:
        announce(f"error: {error.title or 'start'}: {error.reason}")
        return 1
    announce("ready")
    phone.run(running)
    phone.close()
    return 0


if __name__ == "__main__":
    main()
