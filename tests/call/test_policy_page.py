"""The table of weaknesses in docs/policy.md, row by row and profile by profile, against real signalling.

Each row has a driver that brings its weakness about. What the call then records must be what the row's cell says. A
row without a driver, or a driver without a row, fails: nothing stands on the page that the product does not do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.base.errors import OLD_TLS
from gateway.base.grades import Grade
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
    LINES,
    OFFER,
    OTHER,
    SHA1,
    answered,
    codes,
    inbound,
    with_lines,
)
from tests.call.test_transfer import refer, talking
from tests.policy.test_docs import NAMED

PLACE = HostPort("127.0.0.2", 4900)
Driver = Callable[[Profile], MachineScene]


def keyed(profile: Profile) -> MachineScene:
    """A call in progress that the trunk made, with keys over verified TLS: every profile accepts it."""
    return answered(inbound(answer("RTP/SAVP", GOOD), profile)).clear()


ASKED = {"suite.small_key": {"min_key_bits": 256}}
"""What a policy must ask for, so that a good line shows the weakness."""


def accepted(offer: bytes, flow: Flow | None = None, asked: dict[str, int] | None = None) -> Driver:
    """The trunk calls with this offer; the browser answers if it is asked."""

    def drive(profile: Profile) -> MachineScene:
        rules = replace(BUILT_IN[profile], **(asked or {}))  # type: ignore[arg-type]
        flow_ = flow or trunk_flow()
        scene = MachineScene(profile=profile, rules=rules, outbound=False, offer=offer, flow=flow_).calling()
        return answered(scene) if scene.state.live else scene

    return drive


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
            scene.reply(status, _good(scene) if body is None else body)
        return scene

    return drive


def _good(scene: MachineScene) -> bytes:
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
    scene = refer(talking(profile), to="<sip:701@example.test>")
    scene.flow = trunk_flow("udp")
    scene.connect().open_media()
    return scene


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


def handshake_failed(termination: Termination) -> Driver:
    def drive(profile: Profile) -> MachineScene:
        scene = inbound(answer("RTP/SAVP", GOOD), profile).reply(200, BROWSER_ANSWER).ack()
        return scene.feed(events.DtlsFailed(scene.id(LegKind.BROWSER), termination))

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
        scene.reply(200, _good(scene)).ack().feed(scene.keyed())
    return scene


def old_tls(profile: Profile) -> MachineScene:
    return MachineScene(profile=profile).begin().unreachable("too old", OLD_TLS)


def unverified(profile: Profile) -> MachineScene:
    return MachineScene(profile=profile).begin().unreachable("refused", "certificate has expired")


SECOND_LINE = f"m=audio 4010 RTP/SAVP 0\r\n{GOOD}\r\n".encode()
DRIVERS: dict[tuple[str, int], Driver] = {
    ("key.lifetime", 0): worn_out(spent=False),
    ("key.lifetime", 1): worn_out(spent=True),
    ("media.plain_rtp", 0): accepted(answer()),
    ("media.osrtp_fallback", 0): offerless,
    ("media.avp_with_crypto", 0): accepted(answer("RTP/AVP", GOOD)),
    ("media.savp_retry", 0): outbound((488, b"")),
    ("media.crypto_ignored", 0): accepted(answer("RTP/SAVP")),
    ("media.mixed_keying", 0): accepted(answer("RTP/SAVP", GOOD, FINGERPRINT)),
    ("media.mixed_keying", 1): reanswered(GOOD, FINGERPRINT),
    ("media.keying_unknown", 0): accepted(answer("UDP/TLS/RTP/SAVP", FINGERPRINT)),
    ("media.latch_mismatch", 0): from_relay("media.latch_mismatch"),
    ("media.mid_relatch", 0): from_relay("media.mid_relatch"),
    ("media.plain_on_secure", 0): from_relay("media.plain_on_secure"),
    ("media.plain_on_secure", 1): contradicted("media.plain_on_secure"),
    ("media.key_mismatch", 0): contradicted("media.key_mismatch"),
    ("pin.bid_down", 0): outbound((183, None), (488, b"")),
    ("key.sdes_cleartext", 0): accepted(answer("RTP/SAVP", GOOD), trunk_flow("udp")),
    ("key.sdes_unverified_tls", 0): accepted(answer("RTP/SAVP", GOOD), trunk_flow(verified=False)),
    ("key.dtls_fp_unauth", 0): over_ws,
    ("key.reuse", 0): accepted(answer("RTP/SAVP", GOOD) + SECOND_LINE),
    ("key.reuse", 1): changed(answer("RTP/SAVP", GOOD, port=4900)),
    ("key.reuse", 2): echoed,
    ("dtls.fp_mismatch", 0): handshake_failed(Termination.FINGERPRINT_MISMATCH),
    ("dtls.fp_weak", 0): offered(with_lines(OFFER, SHA1)),
    ("tls.old", 0): old_tls,
    ("tls.unverified", 0): unverified,
    ("sig.sips_not_honoured", 0): changed(answer("RTP/SAVP", OTHER), trunk_flow("udp")),
    ("sig.dtmf_cleartext", 0): told_in_clear,
    ("mid.crypto_removed", 0): changed(answer()),
    ("mid.stream_added_plain", 0): changed(answer("RTP/SAVP", GOOD) + b"m=image 4010 udptl t38\r\n"),
    ("mid.hold_rekey", 0): changed(answer("RTP/SAVP", OTHER, direction="inactive")),
    ("mid.transfer_weaker", 0): handed_over,
    ("fork.mixed", 0): forked,
    ("early.plain", 0): outbound((183, answer()), (200, None)),
    ("early.unkeyed", 0): never_keyed,
    ("brw.ws_insecure", 0): over_ws,
    ("brw.sdes_or_avp", 0): offered(answer("RTP/SAVP", GOOD)),
    ("brw.no_mux", 0): offered(OFFER.replace(b"a=rtcp-mux\r\n", b"")),
    ("brw.no_ice", 0): offered(OFFER.replace(b"a=ice-ufrag", b"a=x-ufrag")),
    ("brw.lite", 0): offered(OFFER.replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")),
}
"""By code and by which of its rows."""

TABLE = [(code, row) for code, row in NAMED if len(row) == 4]
ROWS = [((code, [c for c, _ in TABLE[:n]].count(code)), row) for n, (code, row) in enumerate(TABLE)]


def seen(scene: MachineScene, code: str) -> str:
    """What the records of a call say about a code, in the words of the page."""
    for record in [e.record for e in scene.all if isinstance(e, fx.WriteAudit)]:
        if code not in (record.get("codes") or []):  # type: ignore[operator]
            continue
        match record["type"]:
            case "leg.violation":
                return "refused"
            case "leg.downgraded":
                return str(record["grade_after"])
            case "leg.secured":
                return "recorded"
            case "media.latch":
                return "dropped" if record["decision"] == "refused" else "recorded"
    return "noted" if code in scene.state.posture.codes_seen else "nothing"


def wanted(cell: str, profile: Profile) -> str:
    """What a cell says of one profile."""
    what, _, condition = cell.partition(", only ")
    if condition and f"`{profile}`" not in condition:
        return "nothing"
    what = what.split(",")[0]
    known = {"refused", "recorded", "noted", "dropped", "line not used", *Grade.__members__}
    if what in known:
        return what
    assert what in ("not offered", "no retry", "not played", "not limited"), f"no test knows {what!r}"
    return "nothing"


def cell_of(row: list[str], profile: Profile) -> str:
    return row[2] if profile is Profile.STRICT else row[3]


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(("key", "row"), ROWS, ids=[f"{code}-{n}" for (code, n), _ in ROWS])
def test_a_row_of_the_page_is_what_happens(key: tuple[str, int], row: list[str], profile: Profile) -> None:
    expected = wanted(cell_of(row, profile), profile)
    if expected == "line not used":
        a_line_is_as_if_it_were_not_there(key[0], profile)
    else:
        assert seen(DRIVERS[key](profile), key[0]) == expected


def a_line_is_as_if_it_were_not_there(code: str, profile: Profile) -> None:
    line, other, asked = LINES.get(code, GOOD), OTHER.replace(":1 ", ":2 "), ASKED.get(code)
    if asked is not None:
        other = f"a=crypto:2 AEAD_AES_256_GCM inline:{'B' * 59}="
    assert seen(accepted(answer("RTP/SAVP", line, other), asked=asked)(profile), code) == "recorded"
    alone = accepted(answer("RTP/SAVP", line), asked=asked)(profile)
    assert codes(alone, "leg.violation") == [code]
    plain = accepted(answer("RTP/AVP", line), asked=asked)(profile)
    kind = "leg.violation" if profile is Profile.STRICT else "leg.downgraded"
    assert codes(plain, kind) == sorted(["media.plain_rtp", code])


def test_every_row_has_its_driver_and_every_driver_its_row() -> None:
    by_line = {key for key, row in ROWS if row[2] == "line not used"}
    assert {code for code, _ in by_line} == set(LINES) | set(ASKED)
    assert {key for key, _ in ROWS} - by_line == set(DRIVERS)


def test_both_cells_of_a_row_agree_where_profiles_do() -> None:
    """A weakness that strict tolerates is tolerated by all."""
    for key, row in ROWS:
        if row[2].split(",")[0] not in ("refused", "not offered", "no retry", "not played"):
            assert row[2] == row[3], key


@pytest.mark.parametrize("code", sorted({code for (code, _), _ in ROWS}))
def test_no_row_says_less_than_what_it_costs(code: str) -> None:
    grades = {wanted(row[3], profile) for (c, _), row in ROWS if c == code for profile in Profile} & set(
        Grade.__members__
    )
    assert len(grades) <= 1
