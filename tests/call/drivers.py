"""What brings each weakness of the catalogue about, through real signalling: one driver for a row, for any profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.base.codes import Code
from gateway.base.errors import OLD_TLS
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media import relay_events as relay
from gateway.policy.model import BUILT_IN
from gateway.sip.flow import Flow
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, sdes_answer, trunk_flow
from tests.call.test_key_lines import (
    BROWSER_ANSWER,
    FINGERPRINT,
    GOOD,
    OFFER,
    OTHER,
    SHA1,
    answered,
    inbound,
    with_lines,
)
from tests.call.test_transfer import refer, talking

PLACE = HostPort("127.0.0.2", 4900)
Driver = Callable[[Profile], MachineScene]


def keyed(profile: Profile) -> MachineScene:
    """A call in progress that the trunk made, with keys over verified TLS: every profile accepts it."""
    return answered(inbound(answer("RTP/SAVP", GOOD), profile)).clear()


def accepted(offer: bytes, flow: Flow | None = None, asked: dict[str, int] | None = None) -> Driver:
    """The trunk calls with this offer; the browser answers if it is asked.

    Args:
        asked: what the policy asks for besides.
    """

    def drive(profile: Profile) -> MachineScene:
        rules = replace(BUILT_IN[profile], **(asked or {}))  # type: ignore[arg-type]
        way = flow or trunk_flow()
        scene = MachineScene(profile=profile, rules=rules, outbound=False, offer=offer, flow=way).calling()
        return answered(scene) if scene.state.live else scene

    return drive


def stripped(profile: Profile) -> MachineScene:
    """A trunk that is known to encrypt answers without keys; under `legacy` it was offered none."""
    return MachineScene(profile=profile, pinned=True).calling().reply(200, answer())


def changed(body: bytes, flow: Flow | None = None) -> Driver:
    """The trunk re-INVITEs the call in progress."""
    return lambda profile: keyed(profile).inside(LegKind.TRUNK, "INVITE", body, cseq=2, flow=flow)


def reanswered(*lines: str) -> Driver:
    """The trunk answers our own re-INVITE, which offers our key again, so."""

    def drive(profile: Profile) -> MachineScene:
        scene = keyed(profile)
        held = BROWSER_ANSWER.replace(b"a=sendrecv", b"a=sendonly").replace(b"a=setup:active", b"a=setup:actpass")
        scene.inside(LegKind.BROWSER, "INVITE", held, cseq=2)
        return scene.reply(200, answer("RTP/SAVP", *lines, direction="recvonly"), purpose=Purpose.REINVITE)

    return drive


def echoed(profile: Profile) -> MachineScene:
    scene = keyed(profile)
    trunk = scene.trunk_leg
    assert trunk is not None
    assert trunk.agreed is not None
    assert trunk.agreed.agreement.local is not None
    ours = trunk.agreed.agreement.local.to_line()
    return scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", f"a=crypto:{ours}"), cseq=2)


def outbound(*responses: tuple[int, bytes | None]) -> Driver:
    """The browser calls; the trunk answers with these. None stands for our keys taken up, where we offered any."""

    def drive(profile: Profile) -> MachineScene:
        scene = MachineScene(profile=profile).calling()
        for status, body in responses:
            scene.reply(status, good(scene) if body is None else body)
        return scene

    return drive


def good(scene: MachineScene) -> bytes:
    offer = scene.invite.body
    if b"a=crypto" not in offer:
        return answer()
    return sdes_answer(offer).replace(b"RTP/SAVP", b"RTP/SAVP" if b"RTP/SAVP" in offer else b"RTP/AVP")


def offerless(profile: Profile) -> MachineScene:
    """The trunk calls without an offer, and takes none of the keys of ours."""
    scene = MachineScene(profile=profile, outbound=False, offer=b"", flow=trunk_flow()).calling()
    return scene.reply(200, BROWSER_ANSWER).ack(answer())


def handed_over(profile: Profile) -> MachineScene:
    """The browser asks for a transfer to a number behind a trunk in the clear."""
    scene = refer(talking(profile, outbound=False), to="<sip:701@example.test>")
    scene.flow = trunk_flow("udp")
    scene.connect().open_media()
    return scene.reply(200, answer()) if profile is not Profile.STRICT else scene


def forked(profile: Profile) -> MachineScene:
    scene = MachineScene(profile=profile).calling().reply(180, tag="weak").reply(180, tag="other")
    return scene.reply(200, answer("RTP/SAVP"), tag="weak")


def from_relay(code: str) -> Driver:
    return lambda profile: keyed(profile).feed(lambda scene: relay.SourceRejected(scene.id(LegKind.TRUNK), PLACE, code))


def worn_out(*, spent: bool) -> Driver:
    """The keys of the trunk's leg have protected as much as they may, or nearly."""
    return lambda profile: keyed(profile).feed(lambda scene: relay.KeysWorn(scene.id(LegKind.TRUNK), spent))


def contradicted(code: str) -> Driver:
    return lambda profile: keyed(profile).feed(lambda scene: relay.MediaMismatch(scene.id(LegKind.TRUNK), code))


def handshake_failed(termination: Termination, code: Code) -> Driver:
    def drive(profile: Profile) -> MachineScene:
        scene = inbound(answer("RTP/SAVP", GOOD), profile).reply(200, BROWSER_ANSWER).ack()
        return scene.feed(events.DtlsFailed(scene.id(LegKind.BROWSER), termination, code))

    return drive


def told_in_clear(profile: Profile) -> MachineScene:
    """The trunk tells a digit by INFO over UDP."""
    scene = accepted(answer(), trunk_flow("udp"))(profile)
    if scene.state.live:
        kind = ("Content-Type", "application/dtmf-relay")
        scene.inside(LegKind.TRUNK, "INFO", b"Signal=5\r\n", cseq=2, extra=(kind,))
    return scene


def never_keyed(profile: Profile) -> MachineScene:
    scene = inbound(answer("RTP/SAVP", GOOD), profile).reply(200, BROWSER_ANSWER).ack()
    return scene.feed(scene.fires(fx.Timer.KEYED))


def offered(body: bytes) -> Driver:
    """The browser calls with this offer."""
    return lambda profile: MachineScene(profile=profile, offer=body).begin()


def over_ws(profile: Profile) -> MachineScene:
    scene = MachineScene(profile=profile)
    scene.on(replace(BROWSER_FLOW, transport="ws"))
    scene.calling()
    if scene.state.live:
        scene.reply(200, good(scene)).ack().feed(scene.keyed())
    return scene


def old_tls(profile: Profile) -> MachineScene:
    return MachineScene(profile=profile).begin().unreachable("too old", OLD_TLS)


def unverified(profile: Profile) -> MachineScene:
    return MachineScene(profile=profile).begin().unreachable("refused", "certificate has expired")


def handshake_again(profile: Profile) -> MachineScene:
    return keyed(profile).feed(lambda scene: events.DtlsAskedAgain(scene.id(LegKind.BROWSER)))


def role_flipped(profile: Profile) -> MachineScene:
    """The browser, which was the DTLS client, says in mid-call that it is the server."""
    body = BROWSER_ANSWER.replace(b"a=setup:active", b"a=setup:passive")
    return keyed(profile).inside(LegKind.BROWSER, "INVITE", body, cseq=2)


def role_flipped_in_answer(profile: Profile) -> MachineScene:
    """The same in its answer to our re-INVITE: the trunk holds."""
    scene = changed(answer("RTP/SAVP", GOOD, direction="sendonly"))(profile)
    flipped = BROWSER_ANSWER.replace(b"a=setup:active", b"a=setup:passive").replace(b"a=sendrecv", b"a=recvonly")
    return scene.reply(200, flipped, purpose=Purpose.REINVITE)


def without_consent(profile: Profile) -> MachineScene:
    scene = inbound(answer("RTP/SAVP", GOOD), profile).reply(200, BROWSER_ANSWER)
    return scene.feed(lambda scene: relay.ConsentLost(scene.id(LegKind.BROWSER)))


def as_another(profile: Profile) -> MachineScene:
    """From is not the user of the connection; `tests/call/test_identity.py` has it from INVITE to answer."""
    scene = MachineScene(profile=profile)
    for effects in (scene.call.open(scene.now), scene.call.begin_refused(Termination.IDENTITY_MISMATCH, scene.now)):
        scene.all.extend(effects)
    return scene


def digit_played(profile: Profile) -> MachineScene:
    """The browser tells a digit by INFO, which the gateway plays to the trunk."""
    kind = ("Content-Type", "application/dtmf-relay")
    return keyed(profile).inside(LegKind.BROWSER, "INFO", b"Signal=5\r\n", cseq=2, extra=(kind,))


def lost_fork(profile: Profile) -> MachineScene:
    """Two phones answer: the first one in the best way the profile offers, the second one otherwise."""
    scene = MachineScene(profile=profile).calling().reply(180, tag="good").reply(180, tag="late")
    best = good(scene)
    other = answer("RTP/SAVP", GOOD.replace("_80", "_32")) if profile is Profile.STRICT else answer()
    scene.reply(200, best, tag="good").ack()
    return scene.reply(200, other if b"a=crypto" in best else answer("RTP/SAVP", GOOD), tag="late")


def muted(profile: Profile) -> MachineScene:
    """Early media without a key, where one was agreed to; the 200 brings one."""
    return outbound((183, answer("RTP/SAVP")), (200, None))(profile)


SECOND_LINE = f"m=audio 4010 RTP/SAVP 0\r\n{GOOD}\r\n".encode()
DRIVERS: dict[str, Driver] = {
    "key.lifetime (near)": worn_out(spent=False),
    "key.lifetime (over)": worn_out(spent=True),
    "media.plain_rtp": accepted(answer()),
    "media.osrtp_fallback": offerless,
    "media.avp_with_crypto": accepted(answer("RTP/AVP", GOOD)),
    "media.savp_retry": outbound((488, b"")),
    "media.crypto_ignored": accepted(answer("RTP/SAVP")),
    "media.mixed_keying (offer)": accepted(answer("RTP/SAVP", GOOD, FINGERPRINT)),
    "media.mixed_keying (answer)": reanswered(GOOD, FINGERPRINT),
    "media.keying_unknown (kind)": accepted(answer("TCP/DTLS/RTP/SAVP", FINGERPRINT)),
    "media.latch_mismatch": from_relay("media.latch_mismatch"),
    "media.mid_relatch": from_relay("media.mid_relatch"),
    "media.plain_on_secure (packet)": from_relay("media.plain_on_secure"),
    "media.plain_on_secure (leg)": contradicted("media.plain_on_secure"),
    "media.key_mismatch": contradicted("media.key_mismatch"),
    "pin.bid_down (call)": outbound((183, None), (488, b"")),
    "pin.bid_down (pin)": stripped,
    "key.sdes_cleartext": accepted(answer("RTP/SAVP", GOOD), trunk_flow("udp")),
    "key.sdes_unverified_tls": accepted(answer("RTP/SAVP", GOOD), trunk_flow(verified=False)),
    "key.dtls_fp_unauth": over_ws,
    "key.reuse (lines)": accepted(answer("RTP/SAVP", GOOD) + SECOND_LINE),
    "key.reuse (elsewhere)": changed(answer("RTP/SAVP", GOOD, port=4900)),
    "key.reuse (echo)": echoed,
    "dtls.fp_mismatch": handshake_failed(Termination.FINGERPRINT_MISMATCH, Code.DTLS_FP_MISMATCH),
    "dtls.fp_weak": offered(with_lines(OFFER, SHA1)),
    "tls.old (trunk)": old_tls,
    "tls.unverified": unverified,
    "sig.sips_not_honoured": changed(answer("RTP/SAVP", OTHER), trunk_flow("udp")),
    "sig.dtmf_cleartext": told_in_clear,
    "mid.crypto_removed": changed(answer()),
    "mid.stream_added_plain": changed(answer("RTP/SAVP", GOOD) + b"m=image 4010 udptl t38\r\n"),
    "mid.hold_rekey": changed(answer("RTP/SAVP", OTHER, direction="inactive")),
    "mid.transfer_weaker": handed_over,
    "fork.mixed (weak)": forked,
    "early.plain (heard)": outbound((183, answer()), (200, None)),
    "early.unkeyed (handshake)": never_keyed,
    "brw.ws_insecure": over_ws,
    "brw.sdes_or_avp": offered(answer("RTP/SAVP", GOOD)),
    "brw.no_mux": offered(OFFER.replace(b"a=rtcp-mux\r\n", b"")),
    "brw.no_ice": offered(OFFER.replace(b"a=ice-ufrag", b"a=x-ufrag")),
    "brw.lite": offered(OFFER.replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")),
    "dtls.old": handshake_failed(Termination.DTLS_FAILED, Code.DTLS_OLD),
    "dtls.reneg": handshake_again,
    "dtls.role_flip (offer)": role_flipped,
    "dtls.role_flip (answer)": role_flipped_in_answer,
    "early.plain (muted)": muted,
    "early.unkeyed (packets)": from_relay("early.unkeyed"),
    "fork.mixed (loser)": lost_fork,
    "gw.plain_access": digit_played,
    "meta.leak": contradicted("meta.leak"),
    "srtcp.absent (silent)": contradicted("srtcp.absent"),
    "srtcp.absent (clear)": contradicted("srtcp.absent"),
    "brw.consent_lost": without_consent,
    "brw.identity_mismatch": as_another,
}
"""By the name of the row."""
