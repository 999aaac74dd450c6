"""One readable line per audit record, for `sip-gateway audit show` and `follow`.

The text has no colour and no control characters, whatever the file contains; its second word is the severity, which
the command line may colour.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from gateway.audit import sounds
from gateway.audit.chain import HEAD
from gateway.audit.clean import cleaned, cleaned_text
from gateway.audit.facts import short_id
from gateway.audit.pick import pinned
from gateway.audit.severity import Severity, severity
from gateway.base.termination import Termination

MAX_RENDERED = 65536
"""Octets of a line that are looked at; the log never writes longer ones."""

_TIME_CHARACTERS = 23
"""`2030-01-02T03:04:05.678`: milliseconds are enough for people."""

NO_TRUNK = "-"
"""What stands for the trunk of a call that no dialplan rule gave one."""

Record = Mapping[str, object]


def render(record: Record) -> str:
    """`time SEVERITY type call who: what`, always one line of printable text."""
    words = _WORDS.get(_text(record, "type"), _unknown_words)
    parts = [
        _text(record, "ts")[:_TIME_CHARACTERS].replace("T", " "),
        f"{severity(record):<6}",
        f"{_text(record, 'type') or '?':<14}",
        short_id(uid) if (uid := _text(record, "call_uid")) else "",
        words(record),
    ]
    return "  ".join(part for part in parts if part)


def render_line(line: bytes) -> str:
    """Render one line of the file; a line that is no record is shown as such, never hidden."""
    record = parse_line(line)
    if record is None:
        shown = cleaned_text(line[:MAX_RENDERED].decode("utf-8", errors="replace").rstrip("\n"))
        return f"?  {Severity.HIGH:<6}  unreadable line: {shown}"
    return render(record)


def parse_line(line: bytes) -> dict[str, object] | None:
    """The record in one line of the file, or None when it is not one."""
    try:
        value = json.loads(line[:MAX_RENDERED])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _exception_used(record: Record) -> str:
    words = f"exception {_text(record, 'exception_id')} of {_text(record, 'owner')} until {_text(record, 'expires')}"
    return f"{words}: requires {_text(record, 'require')} only, {_text(record, 'reason')}"


def _call_start(record: Record) -> str:
    policy = f"policy {_text(record, 'profile')}" + (" EMERGENCY" if record.get("emergency") is True else "")
    return f"{_parties(record)}, {policy}"


def _leg(record: Record) -> str:
    before, after = _text(record, "grade_before"), _text(record, "grade_after")
    change = f"{before} -> {after}" if before else after
    decision = "tolerated" if _text(record, "type") == "leg.downgraded" else _text(record, "decision")
    parts = [f"{_leg_name(record)} {decision}", change, _vector(record), _message(record), _codes(record)]
    sent = _text(record, "sip_sent", "code")
    parts.append(f"answered {sent} {_text(record, 'sip_sent', 'reason')}".rstrip() if sent else "")
    return ", ".join(part for part in (*parts, _where(record)) if part)


def _leg_name(record: Record) -> str:
    """Which leg: by its kind, and between two browsers by its number, 1 being the caller's."""
    name = f"{_text(record, 'leg')} leg"
    return f"{name} {_text(record, 'leg_id')}" if _text(record, "dir") == "internal" else name


def _verified(record: Record) -> str:
    words = f"{_leg_name(record)}, packets received {_text(record, 'received')}, sent {_text(record, 'sent')}"
    return ", ".join(part for part in (words, _vector(record)) if part)


def _transfer(record: Record) -> str:
    words = f"{_leg_name(record)} asks to hand the call over to {_text(record, 'target')}: {_text(record, 'decision')}"
    claimed, sent = _text(record, "claimed"), _text(record, "sip_sent", "code")
    parts = (words, f"says it is {claimed}" if claimed else "", f"answered {sent}" if sent else "")
    return ", ".join(part for part in parts if part)


def _moved(record: Record) -> str:
    where = f"{_text(record, 'leg')} goes on over {_text(record, 'flow', 'transport')}:{_text(record, 'source')}"
    lost = "was lost" if record.get("was_lost") is True else "counts no more"
    return f"{where}, {_text(record, 'before')} {lost}"


def _quality(record: Record) -> str:
    turned = "turned bad" if _text(record, "quality") == "bad" else "is good again"
    why = f" ({_text(record, 'way')}, {_text(record, 'cause')})" if _text(record, "cause") else ""
    return f"{_leg_name(record)} {turned}{why}, {sounds.words(record)}"


def _latch(record: Record) -> str:
    signalled = "as signalled" if record.get("expected") is True else "NOT the signalled address"
    words = f"{_text(record, 'leg')} media from {_text(record, 'address')} {_text(record, 'decision')}, {signalled}"
    return ", ".join(part for part in (words, _codes(record)) if part)


def _final(record: Record) -> str:
    if _text(record, "termination") == Termination.CRASH.slug:
        return _crashed(record)
    answered = f"answered, {_text(record, 'duration')} s" if record.get("answered") is True else "not answered"
    grades = f"worst {_text(record, 'grade_worst')}, at answer {_text(record, 'grade_at_answer')}"
    if record.get("answered") is not True:
        refused = _text(record, "grade_refused")
        grades = f"refused as {refused}" if refused else ""
    parts = [_parties(record), f"{answered}{_answered_by(record)}", grades, _media(record), _codes(record)]
    return ", ".join(part for part in (*parts, f"ended by {_text(record, 'termination')}", _cause(record)) if part)


def _answered_by(record: Record) -> str:
    """Who took a call from a trunk: the dialplan gave it to a user, and no other can."""
    inbound = record.get("answered") is True and _text(record, "dir") == "in"
    return f" by {_text(record, 'user')}" if inbound else ""


def _media(record: Record) -> str:
    codec, theirs, ours = (_text(record, key) for key in ("codec", "trunk_rtp", "own_rtp"))
    places = f"{ours} <-> {theirs}" if ours and theirs else ""
    mos = sounds.lowest_opinion(sounds.figures(record))
    words = (codec, places, f"MOS {mos}" if mos is not None else "")
    return " ".join(word for word in words if word) if record.get("answered") is True else ""


def _cause(record: Record) -> str:
    """What the peer said of why."""
    number, text = _text(record, "cause", "number"), _text(record, "cause", "text")
    said = f"cause {_text(record, 'cause', 'protocol')} {number}" if number else ""
    return f"{said} ({text})" if said and text else said


def _crashed(record: Record) -> str:
    """Neither answer nor duration is known; the grades are those of its leg records."""
    worst = _text(record, "grade_worst")
    known = f"worst known {worst}" if worst else "no leg was recorded"
    ended = f"ended by {_text(record, 'termination')} at or after {_text(record, 'log_ended')}"
    return ", ".join(part for part in (_parties(record), "duration unknown", known, _codes(record), ended) if part)


def _auth_ok(record: Record) -> str:
    more = f", {_text(record, 'unrecorded')} more times before" if record.get("unrecorded") else ""
    return f"{_text(record, 'user')} from {_text(record, 'source')} over {_text(record, 'transport')}{more}"


def _auth_fail(record: Record) -> str:
    if "count" in record:
        users = record.get("users")
        names = " ".join(cleaned_text(str(user)) for user in users) if isinstance(users, list) else ""
        more = f" and {_text(record, 'more_users')} with other names" if record.get("more_users") else ""
        often = f"{_text(record, 'count')} times in {_text(record, 'seconds')} s"
        return f"{often} from {_text(record, 'source')}: {names}{more}"
    return f"{_text(record, 'user') or 'nobody'} from {_text(record, 'source')}: {_text(record, 'reason')}"


def _tls_peer(record: Record) -> str:
    state = "verified as " + _text(record, "verified_name") if record.get("verified") is True else "NOT verified"
    reason = _text(record, "reason")
    return f"trunk {_text(record, 'trunk')} {_text(record, 'version')} {state}" + (f" ({reason})" if reason else "")


def _policy_loaded(record: Record) -> str:
    return f"{_text(record, 'trunks')} trunk policies in force"


def _heartbeat(record: Record) -> str:
    words = f"{_text(record, 'calls')} calls, {_text(record, 'records')} records since the last heartbeat"
    return words + (f", {_text(record, 'dropped')} lost since the start" if record.get("dropped") else "")


def _checkpoint(record: Record) -> str:
    return f"signed up to record {_text(record, 'size')}"


def _reduced(record: Record) -> str:
    span = f"{_text(record, 'first_seq')} to {_text(record, 'seq')}"
    return f"the detail of records {span} is no longer kept"


def _pruned(record: Record) -> str:
    went = "the detail" if _text(record, "what") == "detail" else "everything"
    span = f"{_text(record, 'first_seq')} to {_text(record, 'last_seq')}"
    return f"{went} of records {span} goes, {_text(record, 'file')}"


def _recovered(record: Record) -> str:
    if _text(record, "cause") == "torn_line":
        return f"an unfinished last line of {_text(record, 'octets')} octets was cut off"
    if _text(record, "cause") == "crash":
        return _after_crash(record)
    seconds, buffered, dropped = (_text(record, key) for key in ("seconds", "buffered", "dropped"))
    return f"log writable again after {seconds} s ({_text(record, 'reason')}): {buffered} waited, {dropped} lost"


def _after_crash(record: Record) -> str:
    rest = "" if record.get("complete") is True else "; the log is longer than what was read back"
    calls, ended = _text(record, "open_calls"), _text(record, "log_ended")
    return f"the gateway ended without a record of that, at or after {ended}: {calls} calls had no end{rest}"


def _dropped(record: Record) -> str:
    span = f"{_text(record, 'first_seq')}..{_text(record, 'last_seq')}"
    return f"{_text(record, 'dropped')} records lost, sequence numbers {span} ({_text(record, 'reason')})"


def _withheld(record: Record) -> str:
    return f"a key was kept out of the log of {_text(record, 'where')}, {_text(record, 'count')} times"


def _started(record: Record) -> str:
    return f"gateway {_text(record, 'version')} started"


def _stopped(record: Record) -> str:
    return f"gateway stopped: {_text(record, 'reason')}"


def _unknown_words(record: Record) -> str:
    envelope = (*HEAD, "prev_hash", "hash")
    rest = {key: value for key, value in record.items() if key not in envelope}
    return cleaned_text(json.dumps(cleaned(rest), ensure_ascii=True))


_WORDS: dict[str, Callable[[Record], str]] = {
    "call.start": _call_start,
    "leg.secured": _leg,
    "leg.downgraded": _leg,
    "leg.violation": _leg,
    "leg.pending": _leg,
    "leg.verified": _verified,
    "leg.moved": _moved,
    "leg.quality": _quality,
    "leg.lost": _leg,
    "call.transfer": _transfer,
    "media.latch": _latch,
    "call.final": _final,
    "auth.ok": _auth_ok,
    "policy.exception_used": _exception_used,
    "auth.fail": _auth_fail,
    "tls.peer": _tls_peer,
    "policy.loaded": _policy_loaded,
    "pin.learned": lambda record: f"{pinned(record)} has been seen to encrypt, and is held to it",
    "admin.pins_cleared": lambda record: f"{pinned(record)} is held to encryption no more (`pins clear`)",
    "admin.start": _started,
    "admin.stop": _stopped,
    "admin.erase": lambda _record: "somebody was forgotten (`audit erase`); pseudonyms have a new key",
    "log.heartbeat": _heartbeat,
    "log.checkpoint": _checkpoint,
    "log.reduced": _reduced,
    "log.pruned": _pruned,
    "log.recovered": _recovered,
    "log.dropped": _dropped,
    "log.withheld": _withheld,
    "log.sink_dropped": lambda record: f"sink {_text(record, 'sink')}: {_dropped(record)}",
}


_CHECKPOINTS: dict[str, str] = {
    "P0": "at its offer",
    "P1": "before our offer",
    "P2": "while ringing",
    "P3": "at the answer",
    "P4": "when keyed by DTLS",
    "P5": "during the call",
    "P6": "by its packets",
    "P7": "at the end",
}
"""Where in the call a leg was judged, in words (docs/policy.md)."""


def _parties(record: Record) -> str:
    trunk, way = _text(record, "trunk"), _text(record, "dir")
    via = "without a trunk" if trunk == NO_TRUNK else f"via {trunk}"
    return f"{way} {_text(record, 'from')} -> {_text(record, 'to')}" + ("" if way == "internal" else f" {via}")


def _vector(record: Record) -> str:
    names = ("keying", "suite", "sig_transport", "sig_tls_version")
    return " ".join(word for word in (_text(record, "vector_after", name) for name in names) if word)


def _message(record: Record) -> str:
    """Of a message that came over a weaker flow: which one, over what, and what was missing."""
    what = _text(record, "message")
    if not what:
        return ""
    return f"{what} from {_text(record, 'flow', 'transport')}:{_text(record, 'source')} ({_text(record, 'why')})"


def _codes(record: Record) -> str:
    codes = record.get("codes")
    return "codes " + " ".join(cleaned_text(str(c)) for c in codes) if isinstance(codes, list) and codes else ""


def _where(record: Record) -> str:
    checkpoint = _text(record, "checkpoint")
    return _CHECKPOINTS.get(checkpoint, f"at {checkpoint}") if checkpoint else ""


def _text(record: Record, *path: str) -> str:
    """The harmless text under a path of keys; empty when it is missing or null."""
    value: object = record
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, Mapping | list):
        return ""
    return str(cleaned(value))
