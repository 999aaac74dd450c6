"""What a probe found, and what a monitor makes of it. PURE.

The exit codes are those of monitoring plugins, so that Nagios, Icinga and their kin can run the command as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from gateway.base.grades import Grade
from gateway.probe.tones import SILENCE, Heard
from gateway.sip.grammar import split_top_level, unquote

MAX_PURE_GAPS = 0
"""Drop-outs of the tone that are nothing to speak of."""


class Status(IntEnum):
    """How it went; the value is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    """Nothing could be measured: the question is wrong, or something is missing here."""

    @property
    def weight(self) -> int:
        """How bad it is: what is not known never stands before an alarm."""
        return (Status.OK, Status.WARNING, Status.UNKNOWN, Status.CRITICAL).index(self)


class Expected(StrEnum):
    """What shall come back."""

    ECHO = "echo"
    """The tone that was sent."""
    AUDIO = "audio"
    """Anything that is no silence."""
    NOTHING = "nothing"
    """It does not matter."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What makes a call that works a bad one."""

    expect: Expected = Expected.AUDIO
    grade: Grade = Grade.CLEARTEXT
    """The call may not be less protected than this."""
    trunk: str = ""
    """The trunk the call shall go over; "": any."""
    warn_seconds: float = 0.0
    """From INVITE to 200; 0: however long."""
    critical_seconds: float = 0.0


@dataclass
class End:
    """One end of the call that the probe played."""

    name: str
    """`browser` or `trunk`."""
    codec: str = ""
    protection: str = ""
    """How this end itself was keyed: `dtls`, `sdes,AES_CM_128_HMAC_SHA1_80` or `plain`."""
    sent_hz: float = 0.0
    heard: Heard = SILENCE
    lost: int = 0
    """Packets that did not come."""
    refused: int = 0
    """Packets that came and did not authenticate."""


@dataclass
class Result:
    """One synthetic call."""

    what: str
    """Who called whom, in words."""
    marks: dict[str, float] = field(default_factory=dict)
    """Seconds from the step before: `connect`, `sign_in`, `ringing`, `answer`, `ice`, `dtls`, `first_audio`."""
    ends: list[End] = field(default_factory=list)
    security: dict[str, str] = field(default_factory=dict)
    """The Call-Security header that came last."""
    legs: list[Mapping[str, object]] = field(default_factory=list)
    """The legs as the gateway sees them, with their codes; none where it could not be asked."""
    status: int = 0
    """The final SIP status."""
    failure: str = ""
    """Why there was no call, or why it ended."""
    steps: list[str] = field(default_factory=list)
    """Everything that was done, in order."""

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "what": self.what,
            "sip_status": self.status,
            "failure": self.failure,
            "seconds": {name: round(value, 4) for name, value in self.marks.items()},
            "ends": [_end(end) for end in self.ends],
            "call_security": self.security,
            "legs": list(self.legs),
            "steps": self.steps,
        }


def _end(end: End) -> dict[str, object]:
    heard = end.heard
    return {
        "end": end.name,
        "codec": end.codec,
        "protection": end.protection,
        "sent_hz": end.sent_hz,
        "heard_hz": heard.frequency,
        "level_dbfs": heard.level_dbfs,
        "purity": heard.purity,
        "seconds": heard.seconds,
        "gaps": heard.gaps,
        "longest_gap": heard.longest_gap,
        "lost": end.lost,
        "refused": end.refused,
    }


def read_security(value: str) -> dict[str, str]:
    """The fields of a Call-Security header."""
    parts = (part.partition("=") for part in value[:2048].split(";")) if '"' not in value else _quoted(value)
    return {name.strip(): unquote(text.strip()) for name, _, text in parts if name.strip()}


def _quoted(value: str) -> Iterator[tuple[str, str, str]]:
    for part in split_top_level(value[:2048], ";"):
        yield part.partition("=")


def judged(result: Result, demands: Demands) -> tuple[Status, list[str]]:
    """How it went, and why: every complaint, the worst first."""
    found = sorted(_complaints(result, demands), key=lambda complaint: -complaint[0].weight)
    worst = found[0][0] if found else Status.OK
    return worst, [why for _, why in found]


def _complaints(result: Result, demands: Demands) -> Iterator[tuple[Status, str]]:
    if result.failure:
        yield Status.CRITICAL, result.failure
        return
    yield from _about_time(result, demands)
    yield from _about_grade(result, demands)
    yield from _about_trunk(result, demands)
    for number, end in enumerate(result.ends):
        others = result.ends[:number] + result.ends[number + 1 :]
        wanted = others[0].sent_hz if others else end.sent_hz
        yield from _about_sound(end, wanted, demands.expect if not others else Expected.ECHO)


def _about_time(result: Result, demands: Demands) -> Iterator[tuple[Status, str]]:
    took = result.marks.get("ringing", 0.0) + result.marks.get("answer", 0.0)
    for limit, status in ((demands.critical_seconds, Status.CRITICAL), (demands.warn_seconds, Status.WARNING)):
        if limit and took > limit:
            yield status, f"answered after {took:.2f} s, not within {limit:g} s"
            return


def _about_grade(result: Result, demands: Demands) -> Iterator[tuple[Status, str]]:
    name = result.security.get("grade", "")
    grade = Grade.__members__.get(name)
    if grade is None:
        if demands.grade > Grade.CLEARTEXT:
            yield Status.CRITICAL, f"the gateway did not say a grade: {name or 'no Call-Security'}"
    elif grade < demands.grade:
        yield Status.CRITICAL, f"the call is {grade.name}, not {demands.grade.name}"


def _about_trunk(result: Result, demands: Demands) -> Iterator[tuple[Status, str]]:
    used = {str(leg.get("trunk")) for leg in result.legs} - {"", "None"}
    if demands.trunk and not result.legs:
        yield Status.UNKNOWN, "the gateway could not be asked over which trunk the call went"
    elif demands.trunk and demands.trunk not in used:
        yield Status.CRITICAL, f"the call went over {', '.join(sorted(used)) or 'no trunk'}, not {demands.trunk}"


def _about_sound(end: End, wanted_hz: float, expect: Expected) -> Iterator[tuple[Status, str]]:
    if end.refused:
        yield Status.CRITICAL, f"{end.name}: {end.refused} packets did not authenticate"
    if expect is Expected.NOTHING:
        return
    if not end.heard.is_sound:
        yield Status.CRITICAL, f"{end.name}: nothing was heard"
    elif expect is Expected.ECHO and not end.heard.is_tone(wanted_hz):
        yield Status.CRITICAL, f"{end.name}: heard {end.heard.frequency:g} Hz, not the tone of {wanted_hz:g} Hz"
    elif end.heard.gaps > MAX_PURE_GAPS:
        yield Status.WARNING, f"{end.name}: {end.heard.gaps} gaps, the longest of {end.heard.longest_gap:.2f} s"
