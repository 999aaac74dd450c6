"""A pjsua2 phone in a process of its own: JSON commands on standard input, JSON events on standard output.

Commands: {"do": "call", "uri": ...}, "answer" (status), "hangup", "dtmf" (digits, and by which "method"
for how many milliseconds, "duration"), "hold", "resume", "move", "xfer" (uri),
"xfer_replaces" (other, the call the target shall take over), "quit". Calls are counted from 0; "call" says which is
meant, else the last one.
Events: {"event": "ready"}, "incoming", "state" (text, status), "dtmf" (digit), "media" (proto), "refer" (uri),
"transfer" (status, final), "replace", "replaced", "stats", "stopped"; with "call" where they belong to one.
A REFER is followed unless the option "refer_status" refuses it, and an INVITE with Replaces is taken unless
"replace_status" does. With "timeline" the recording begins with "ready" and goes on between calls: gaps are in it.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
SRTP = {
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}
METHODS = {"rtp": pj.PJSUA_DTMF_METHOD_RFC2833, "info": pj.PJSUA_DTMF_METHOD_SIP_INFO}
TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
calls: list[Any] = []
kept: list[Any] = []
recorders: list[Any] = []
"""At most one: all calls of the phone are mixed into it."""


def tell(event: str, **facts: object) -> None:
    OUT.write(json.dumps({"event": event, **facts}) + "\n")
    OUT.flush()


class Call(pj.Call):  # type: ignore[misc]
    def __init__(self, account: Any, number: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, number)
        self.account = account
        self.index = len(calls)
        self.player: Any = None
        calls.append(self)

    def onCallState(self, prm: object) -> None:
        info = self.getInfo()
        tell("state", call=self.index, text=info.stateText, status=int(info.lastStatusCode), reason=info.lastReason)

    def onCallTransferRequest(self, prm: Any) -> None:
        """A REFER came: the library calls and tells how it goes; the new call is one of ours."""
        prm.statusCode = OPTIONS.get("refer_status", 202)
        tell("refer", call=self.index, uri=prm.dstUri)
        if prm.statusCode < 300:
            prm.newCall = Call(self.account)

    def onCallTransferStatus(self, prm: Any) -> None:
        """What the NOTIFYs of a REFER of ours say; once it is done the old call is over."""
        status, final = int(prm.statusCode), bool(prm.finalNotify)
        tell("transfer", call=self.index, status=status, final=final)
        if final and status // 100 == 2 and OPTIONS.get("hangup_after_transfer", True):
            self.hangup(pj.CallOpParam())

    def onCallReplaceRequest(self, prm: Any) -> None:
        """An INVITE with Replaces names this call."""
        prm.statusCode = OPTIONS.get("replace_status", 200)
        tell("replace", call=self.index)
        if prm.statusCode < 300:
            prm.newCall = Call(self.account)

    def onCallReplaced(self, prm: Any) -> None:
        tell("replaced", call=self.index)

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
                tell("media", call=self.index, proto=str(self.getStreamInfo(index).proto))

    def connect(self, audio: Any) -> None:
        if OPTIONS.get("echo"):
            audio.startTransmit(audio)
        if OPTIONS.get("play"):
            if self.player is None:  # a second one after a re-INVITE could cancel the first one's tone
                self.player = pj.AudioMediaPlayer()
                self.player.createPlayer(OPTIONS["play"])
                kept.append(self.player)
            self.player.startTransmit(audio)
        for recorder in recorders or record():
            audio.startTransmit(recorder)

    def onDtmfDigit(self, prm: Any) -> None:
        method = next(name for name, number in METHODS.items() if number == prm.method)
        tell("dtmf", call=self.index, digit=prm.digit, method=method)


def record() -> list[Any]:
    """Begin the recording, when there is to be one."""
    if OPTIONS.get("record"):
        recorder = pj.AudioMediaRecorder()
        recorder.createRecorder(OPTIONS["record"])
        recorders.append(recorder)
    return recorders


class Account(pj.Account):  # type: ignore[misc]
    def onIncomingCall(self, prm: Any) -> None:
        call = Call(self, prm.callId)
        tell("incoming", call=call.index)
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
    if OPTIONS.get("password"):
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", OPTIONS["login"], 0, OPTIONS["password"]))
    media = config.mediaConfig
    media.srtpUse = SRTP[OPTIONS["srtp"]]
    media.srtpSecureSignaling = 0
    media.srtpOpt.keyings.append(pj.PJMEDIA_SRTP_KEYING_SDES)
    if suite := OPTIONS.get("suite", "AES_CM_128_HMAC_SHA1_80"):  # empty: all of its own, in its own order
        crypto = pj.SrtpCrypto()
        crypto.name = suite
        media.srtpOpt.cryptos.append(crypto)
    media.transportConfig.boundAddress = media.transportConfig.publicAddress = OPTIONS["host"]
    media.transportConfig.port = OPTIONS.get("rtp_port", 0)
    return config


def resume(call: Any) -> None:
    parameters = pj.CallOpParam(True)
    parameters.opt.flag = 1  # PJSUA_CALL_UNHOLD
    call.reinvite(parameters)


def move(call: Any) -> None:
    """A re-INVITE from new media ports."""
    parameters = pj.CallOpParam(True)
    parameters.opt.flag = 16  # PJSUA_CALL_REINIT_MEDIA
    call.reinvite(parameters)


def press(call: Any, command: dict[str, Any]) -> None:
    parameters = pj.CallSendDtmfParam()
    parameters.digits = command["digits"]
    parameters.method = METHODS[command.get("method", "rtp")]
    parameters.duration = command.get("duration", 160)
    call.sendDtmf(parameters)


def stats(call: Any) -> None:
    """What its RTCP session knows, milliseconds; what it sends is as the other end reports it."""
    whole = call.getStreamStat(0)  # what `found` lies in
    found = whole.rtcp
    tell(
        "stats",
        call=call.index,
        name=found.peerSdes.cname,
        received=found.rxStat.pkt,
        lost=found.rxStat.loss,
        sent=found.txStat.pkt,
        reports=found.txStat.updateCount,
        sent_lost=found.txStat.loss,
        sent_jitter=found.txStat.jitterUsec.last / 1000,
        round_trips=found.rttUsec.n,
        rtt=found.rttUsec.last / 1000,
    )


ACTIONS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "answer": lambda call, command: answer(call, command.get("status", 200)),
    "hangup": lambda call, command: call.hangup(pj.CallOpParam()),
    "dtmf": press,
    "hold": lambda call, command: call.setHold(pj.CallOpParam(True)),
    "resume": lambda call, command: resume(call),
    "stats": lambda call, command: stats(call),
    "move": lambda call, command: move(call),
    "xfer": lambda call, command: call.xfer(command["uri"], pj.CallOpParam(True)),
    "xfer_replaces": lambda call, command: call.xferReplaces(calls[command["other"]], pj.CallOpParam(True)),
}


def obey(command: dict[str, Any], account: Any) -> bool:
    """Carry out one command; False to end."""
    what = command["do"]
    if what == "quit":
        return False
    if what == "call":
        Call(account).makeCall(command["uri"], pj.CallOpParam(True))
        return True
    call = calls[command.get("call", -1)]
    try:
        ACTIONS[what](call, command)
    except pj.Error as error:
        tell("error", why=error.reason)
    return True


def main() -> None:
    endpoint, account = start()
    if OPTIONS.get("timeline"):
        for recorder in record():  # the null device is silent and never stops
            endpoint.audDevManager().getCaptureDevMedia().startTransmit(recorder)
    tell("ready")
    running = True
    while running:
        select.select([sys.stdin], [], [])
        line = sys.stdin.readline()
        running = bool(line) and obey(json.loads(line), account)
    endpoint.hangupAllCalls()
    time.sleep(0.3)  # the library's own thread sends the BYEs
    for call in calls:
        call.player = None
    kept.clear()
    recorders.clear()
    endpoint.libDestroy()
    tell("stopped")


# pjlib prints its banner to standard output before its log can be configured: events get a descriptor of their own.
OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
main()
os._exit(0)  # the bindings' destructors crash after libDestroy
