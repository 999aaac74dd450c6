"""The policy file: profiles of one's own, and the rules, floors and exceptions that say which calls must meet what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gateway.base.profiles import Profile
from gateway.config.policy_scalars import CodeName, Day, HoursOfWeek, SuiteName, TimeZone
from gateway.config.scalars import ONE_OR_MORE, Dialled, Model, Name, NameList, Network, TextList

MAX_ENTRIES = 500
"""Rules, floors or exceptions of a file: they are walked for every call, and compared with each other once."""
MAX_VALUES = 500
"""Values of one key or one named list."""
MAX_REASON = 200
"""Characters of an owner or a reason: both stand in a record of every call an exception is used for."""

REFUSALS = (403, 404, 410, 480, 484, 486, 488, 503, 600, 603, 604, 606, 607, 608)
"""Statuses a rule may refuse with: none that asks for something in return, none that leads somewhere else."""

GradeName = Literal["CLEARTEXT", "KEY_EXPOSED", "PARTIAL", "UNAUTHENTICATED", "HOP_BY_HOP", "END_TO_END"]
Names = Annotated[NameList, Field(max_length=MAX_VALUES)]
Words = Annotated[TextList, Field(max_length=MAX_VALUES)]


def no_relay(grade: str | None) -> str | None:
    """END_TO_END is a grade nothing here can reach."""
    if grade == "END_TO_END":
        raise ValueError("this gateway ends the encryption of both sides, so no call is END_TO_END: write HOP_BY_HOP")
    return grade


class PolicyNumbers(Model):
    """Numbers: one, a list, or sets of `dial_sets`."""

    numbers: tuple[Dialled, ...] = Field(default=(), max_length=MAX_VALUES)
    """Numbers and patterns, as in the dialplan: +49900*, +4918[0-5]*. They are compared with the number as its rules
    see it: +E.164 with a `country`."""
    set: Words = ()
    """Names of `dial_sets`."""

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: object) -> object:
        if isinstance(value, str):
            return {"numbers": [value]}
        return {"numbers": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _names_something(self) -> PolicyNumbers:
        if not self.numbers and not self.set:
            raise ValueError("expected a number, a list of numbers, or `set: NAME`")
        return self


class PolicySource(Model):
    """Where a request came from on the wire."""

    net: Words = Field(min_length=1)
    """Names of `networks`, or networks. The address of the connection, whatever Via and Contact say."""


class PolicyKeys(Model):
    """What a call must be: every key that is written must fit, and of its values one."""

    direction: Annotated[tuple[Literal["in", "out", "internal"], ...], ONE_OR_MORE] = ()
    """out (to a trunk), in (from one), internal (from browser to browser)."""
    trunk: Names = ()
    """The trunk the leg leads to or comes from."""
    user: Words = ()
    """The user of ours it is for: who calls from a browser, or is called."""
    user_group: Names = ()
    """She is in one of these groups of the dialplan."""
    caller: PolicyNumbers | None = None
    """The number that calls. What a trunk says of it proves nothing."""
    dialled: PolicyNumbers | None = None
    """The number that is called."""
    source: PolicySource | None = None
    """Where the request came from on the wire, whatever Via and Contact say: {net: NAME}, of `networks`, or
    {net: 192.0.2.0/24}, or a list of these."""
    transport: Annotated[tuple[Literal["udp", "tcp", "tls", "ws", "wss"], ...], ONE_OR_MORE] = ()
    """What the request came over."""
    time: Annotated[tuple[HoursOfWeek, ...], ONE_OR_MORE] = ()
    """Hours of the week by the clock of `timezone`, or of a zone behind them: Mon-Fri 08:00-18:00, or
    Sat,Sun 00:00-24:00 America/New_York. 22:00-06:00 ends on the next day."""
    method: Annotated[tuple[Literal["INVITE", "REFER"], ...], ONE_OR_MORE] = ()
    """INVITE, or REFER: a leg that a transfer asks for."""


class PolicyMatch(PolicyKeys):
    """What a call must be, and what it must not be; `{}` is every call."""

    not_: PolicyKeys | None = Field(default=None, alias="not")
    """A call that fits all of these is not meant."""


class PolicyMedia(Model):
    """What is offered and accepted for media on trunks; browsers are always keyed by DTLS."""

    offer: tuple[Literal["dtls", "sdes"], ...] | None = Field(default=None, max_length=2)
    """How trunks are offered keys: [sdes], [dtls], both in order of preference (the second is tried when the first is
    refused), or [] for no keys at all. Default: `keying` of the trunk."""
    answer: Annotated[tuple[Literal["dtls", "sdes"], ...], ONE_OR_MORE] = ()
    """Which keys are taken from offers of trunks, preferred ones first. Default: all, first those we would offer."""
    fallback: Literal["never", "retry", "osrtp"] | None = None
    """never; retry (a second INVITE with RTP/AVP after 488, 415 or 606); osrtp (RTP/AVP with keys the other side may
    ignore, RFC 8643). The last two need `require: CLEARTEXT`."""
    suites: Words = ()
    """Crypto suites in order of preference: the name of a list of `suites`, or suites. What is absent is neither
    offered nor accepted. Default: all there are."""
    min_key_bits: int = Field(default=0, ge=0, le=256)
    """Suites with shorter keys are neither offered nor accepted."""
    min_tag_bits: int = Field(default=0, ge=0, le=128)
    """Suites with shorter tags are neither offered nor accepted."""
    fingerprint: tuple[Literal["sha-256", "sha-384", "sha-512"], ...] = ()
    """Hashes a browser, or a trunk with DTLS, may announce its certificate by. Default: all three."""
    srtcp: Literal["require", "allow"] = "allow"
    """require: a leg whose RTCP is missing or in clear is refused."""


class PolicyDowngrade(Model):
    """What becomes of a call below `prefer` and not below `require`, besides its record."""

    notify: bool = True
    """Tell the browser when the protection changes during a call."""
    tone: Literal["insecure_beep"] | None = None
    """What the user of the browser hears before such a call begins."""
    alert: Literal["low", "medium", "high"] | None = None
    """How loudly it is told of."""


class PolicyProfile(Model):
    """A profile: what a call with it must meet. What is not written is as in `like`."""

    like: Profile = Profile.STRICT
    """The built-in profile it begins as: strict, prefer, osrtp or legacy."""
    require: GradeName | None = None
    """A leg below this grade is refused."""
    prefer: GradeName | None = None
    """A leg below this grade is tolerated, recorded and shown."""
    media: PolicyMedia = PolicyMedia()
    """What is offered and accepted for media."""
    deny: tuple[CodeName, ...] = Field(default=(), max_length=MAX_VALUES)
    """Codes (docs/policy.md) that are violations whatever the grade."""
    on_downgrade: PolicyDowngrade = PolicyDowngrade()
    """What else becomes of a call below `prefer`."""
    never_block: bool = False
    """Nothing refuses such a call. Only in rules for emergency numbers of the dialplan, which nothing ever blocks."""

    _reachable = field_validator("require", "prefer")(no_relay)


class PolicyDefaults(Model):
    """What holds where nothing else is written."""

    profile: Name = Profile.STRICT.value
    """Profile of trunks that name none by `security` or `profile`."""


class PolicyRule(Model):
    """Calls it matches get a profile, or are refused. The first rule that matches decides."""

    id: Name
    """Name of the rule in records; unique in the file."""
    match: PolicyMatch
    """Which calls."""
    profile: Name | None = None
    """strict, prefer, osrtp, legacy, or one of `profiles`."""
    action: Literal["reject"] | None = None
    """reject: such a call is refused, unless it is an emergency."""
    sip: int | None = None
    """The status it is refused with. Default: 403."""

    @field_validator("sip")
    @classmethod
    def _is_a_refusal(cls, status: int | None) -> int | None:
        if status is not None and status not in REFUSALS:
            raise ValueError(f"expected one of {', '.join(map(str, REFUSALS))}")
        return status

    @model_validator(mode="after")
    def _decides(self) -> PolicyRule:
        if (self.profile is None) == (self.action is None):
            raise ValueError("a rule has either `profile` or `action: reject`")
        if self.sip is not None and self.action is None:
            raise ValueError("`sip` is for rules with `action: reject`")
        return self


class PolicyFloor(Model):
    """What the calls it matches must meet at least. All floors that match hold, and no rule loosens them."""

    id: Name
    """Name of the floor in records; unique in the file."""
    match: PolicyMatch
    """Which calls."""
    require: GradeName | None = None
    """A leg below this grade is refused."""
    prefer: GradeName | None = None
    """A leg below this grade is recorded and shown as a downgrade."""
    deny: tuple[CodeName, ...] = Field(default=(), max_length=MAX_VALUES)
    """Codes that are violations whatever the grade."""
    suites: Words = ()
    """Only these suites, of those the profile has: the name of a list of `suites`, or suites."""
    min_key_bits: int = Field(default=0, ge=0, le=256)
    """Suites with shorter keys are neither offered nor accepted."""
    min_tag_bits: int = Field(default=0, ge=0, le=128)
    """Suites with shorter tags are neither offered nor accepted."""
    srtcp: Literal["require"] | None = None
    """require: a leg whose RTCP is missing or in clear is refused."""

    _reachable = field_validator("require", "prefer")(no_relay)

    @model_validator(mode="after")
    def _asks_for_something(self) -> PolicyFloor:
        asked = (self.require, self.prefer, self.deny, self.suites, self.min_key_bits, self.min_tag_bits, self.srtcp)
        if not any(asked):
            raise ValueError("a floor asks for something: `require`, `prefer`, `deny`, `suites`, ...")
        return self


class PolicyException(Model):
    """Floors ask less of the calls it matches, on somebody's word and for a while; every use of it is recorded."""

    id: Name
    """Name of the exception in records; unique in the file."""
    match: PolicyMatch
    """Which calls."""
    require: GradeName | None = None
    """Floors require this at most; what the profile of the call requires by itself stays."""
    allow: tuple[CodeName, ...] = Field(default=(), max_length=MAX_VALUES)
    """Codes that floors deny, and that are no violation here by that."""
    owner: str = Field(min_length=1, max_length=MAX_REASON)
    """Who answers for it."""
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    """Why it is needed."""
    expires: Day
    """The last day it holds, in `timezone`: 2030-12-31. From the next day on it is as if it were not there."""

    _reachable = field_validator("require")(no_relay)

    @model_validator(mode="after")
    def _lowers_something(self) -> PolicyException:
        if self.require is None and not self.allow:
            raise ValueError("an exception lowers something: `require`, or `allow`")
        return self


class PolicyFile(Model):
    """The policy: which calls must meet what. Without this file each trunk has one word, `security`."""

    version: Literal["1"] = "1"
    """Of the format of this file."""
    timezone: TimeZone = "UTC"
    """Where the clock hangs that `time` and `expires` are read by, for example Europe/Berlin."""
    networks: dict[Name, Annotated[tuple[Network, ...], Field(min_length=1, max_length=MAX_VALUES)]] = Field(
        default_factory=dict
    )
    """Networks by name, for `source`."""
    dial_sets: dict[Name, Annotated[tuple[Dialled, ...], Field(min_length=1, max_length=MAX_VALUES)]] = Field(
        default_factory=dict
    )
    """Numbers and patterns by name, for `dialled` and `caller`."""
    suites: dict[Name, Annotated[tuple[SuiteName, ...], Field(min_length=1, max_length=MAX_VALUES)]] = Field(
        default_factory=dict
    )
    """Crypto suites by name, each list in order of preference."""
    profiles: dict[Name, PolicyProfile] = Field(default_factory=dict)
    """Profiles besides strict, prefer, osrtp and legacy."""
    defaults: PolicyDefaults = PolicyDefaults()
    """What holds where nothing else is written."""
    rules: tuple[PolicyRule, ...] = Field(default=(), max_length=MAX_ENTRIES)
    """In order: the first that matches a call chooses its profile."""
    floors: tuple[PolicyFloor, ...] = Field(default=(), max_length=MAX_ENTRIES)
    """All that match a call hold together."""
    exceptions: tuple[PolicyException, ...] = Field(default=(), max_length=MAX_ENTRIES)
    """The first that matches a call and has not expired lowers its floors."""
