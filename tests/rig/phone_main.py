"""A pjsua2 phone in a process of its own: JSON commands on standard input, JSON events on standard output.

Commands: {"do": "call", "uri": ...}, "hangup", "dtmf" (digits), "hold", "resume", "quit".
Events: {"event": "ready"}, "state" (text, status), "dtmf" (digit), "media" (proto, suite), "stopped".
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

import pjsua2 as pj

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
SRTP = {
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}
TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
calls: list[Any] = []
kept: list[Any] = []


def tell(event: str, **facts: object) -> None:
    OUT.write(json.dumps({"event": event, **facts}) + "\n")
    OUT.flush()


class Call(pj.Call):  # type: ignore[misc]
    recorder: Any = None

    def onCallState(self, prm: object) -> None:
        info = self.getInfo()
        tell("state", text=info.stateText, status=int(info.lastStatusCode), reason=info.lastReason)

    def onCallMediaState(self, prm: object) -> None:
        try:
            self.media_changed()
        except (
            pj.Error,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # the bindings swallow what a callback raises
            tell("error", why=repr(error))

    def media_changed(self) -> None:
        info = self.getInfo()  # the list below is only valid while its owner lives
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.connect(self.getAudioMedia(index))
                tell("media", proto=str(self.getStreamInfo(index).proto))

    def connect(self, audio: Any) -> None:
        if OPTIONS.get("echo"):
            audio.startTransmit(audio)
        if OPTIONS.get("play"):
            player = pj.AudioMediaPlayer()
            player.createPlayer(OPTIONS["play"])
            player.startTransmit(audio)
            kept.append(player)
        if OPTIONS.get("record") and self.recorder is None:
            self.recorder = pj.AudioMediaRecorder()
            self.recorder.createRecorder(OPTIONS["record"])
            kept.append(self.recorder)
        if self.recorder is not None:
            audio.startTransmit(self.recorder)

    def onDtmfDigit(self, prm: Any) -> None:
        tell("dtmf", digit=prm.digit, method=int(prm.method))


class Account(pj.Account):  # type: ignore[misc]
    def onIncomingCall(self, prm: Any) -> None:
        call = Call(self, prm.callId)
        calls.append(call)
        tell("incoming")
        answer(call, OPTIONS.get("early_status", 0))
        answer(call, OPTIONS.get("answer", 200))


def answer(call: Any, status: int) -> None:
    if status:
        parameters = pj.CallOpParam()
        parameters.statusCode = status
        try:
            call.answer(parameters)
        except pj.Error as error:
            tell("error", why=error.reason)


def start() -> tuple[Any, Any]:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.maxCalls = 4
    config.logConfig.level = 5
    config.logConfig.consoleLevel = 0
    config.logConfig.filename = OPTIONS["log"]
    config.logConfig.msgLogging = 1
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    config.medConfig.clockRate = 16000
    endpoint.libInit(config)
    endpoint.audDevManager().setNullDev()
    endpoint.transportCreate(TRANSPORTS[OPTIONS["transport"]], transport())
    endpoint.libStart()
    for codec in endpoint.codecEnum2():
        wanted = any(codec.codecId.startswith(name) for name in OPTIONS.get("codecs", ["PCMU"]))
        endpoint.codecSetPriority(codec.codecId, 200 if wanted else 0)
    account = Account()
    account.create(account_config())
    return endpoint, account


def transport() -> Any:
    config = pj.TransportConfig()
    config.port = OPTIONS["port"]
    config.boundAddress = config.publicAddress = OPTIONS["host"]
    if OPTIONS.get("certificate"):
        config.tlsConfig.certFile = OPTIONS["certificate"]
        config.tlsConfig.privKeyFile = OPTIONS["key"]
    if OPTIONS.get("ca"):
        config.tlsConfig.CaListFile = OPTIONS["ca"]
    return config


def account_config() -> Any:
    config = pj.AccountConfig()
    suffix = "" if OPTIONS["transport"] == "udp" else ";transport=" + OPTIONS["transport"]
    config.idUri = f"sip:{OPTIONS.get('user', 'phone')}@{OPTIONS['host']}:{OPTIONS['port']}{suffix}"
    media = config.mediaConfig
    media.srtpUse = SRTP[OPTIONS["srtp"]]
    media.srtpSecureSignaling = 0
    media.srtpOpt.keyings.append(pj.PJMEDIA_SRTP_KEYING_SDES)
    crypto = pj.SrtpCrypto()
    crypto.name = OPTIONS.get("suite", "AES_CM_128_HMAC_SHA1_80")
    media.srtpOpt.cryptos.append(crypto)
    media.transportConfig.boundAddress = media.transportConfig.publicAddress = OPTIONS["host"]
    media.transportConfig.port = OPTIONS.get("rtp_port", 0)
    return config


def obey(command: dict[str, Any], account: Any) -> bool:
    """Carry out one command; False to end."""
    what = command["do"]
    if what == "quit":
        return False
    if what == "call":
        call = Call(account)
        calls.append(call)
        call.makeCall(command["uri"], pj.CallOpParam(True))
    elif what == "hangup":
        calls[-1].hangup(pj.CallOpParam())
    elif what == "dtmf":
        calls[-1].dialDtmf(command["digits"])
    elif what == "hold":
        calls[-1].setHold(pj.CallOpParam(True))
    elif what == "resume":
        parameters = pj.CallOpParam(True)
        parameters.opt.flag = 1  # PJSUA_CALL_UNHOLD
        calls[-1].reinvite(parameters)
    return True


def main() -> None:
    endpoint, account = start()
    tell("ready")
    running = True
    while running:
        select.select([sys.stdin], [], [])
        line = sys.stdin.readline()
        running = bool(line) and obey(json.loads(line), account)
    endpoint.hangupAllCalls()
    time.sleep(0.3)  # the library's own thread sends the BYEs
    kept.clear()
    endpoint.libDestroy()
    tell("stopped")


# pjlib prints its banner to standard output before its log can be configured: events get a descriptor of their own.
OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
main()
os._exit(0)  # the bindings' destructors crash after libDestroy
