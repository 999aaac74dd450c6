"""One call's story in plain words: who could listen, from when to when and why, what happened, how it ended. PURE.

It is told from the records of that call alone, in their order. Nothing is told that no record says; what no record can
say stands at the end.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.audit.facts import short_id
from gateway.audit.happened import happened
from gateway.audit.hearing import Stretch, answered_at, stretches
from gateway.audit.pick import Record, moment, seconds, text, texts
from gateway.audit.render import NO_TRUNK
from gateway.audit.severity import Severity, severity
from gateway.audit.sides import SideFacts, sides_of
from gateway.audit.words import because, ending, grade_of, keying_words, signalling_words, suite_words, who
from gateway.base.grades import Grade

MAX_RECORDS = 2000
"""Records told of one call: a call has about ten, one that is changed all the time has its first ones."""


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a story."""

    words: str
    level: Severity = Severity.INFO
    heading: bool = False


def story(records: Sequence[Record], left_out: int = 0) -> Iterator[Said]:
    """The lines.

    Args:
        records: all of one call, oldest first; at least one.
        left_out: further ones that were too many to be kept.
    """
    yield from _introduction(records)
    yield from _who_could_listen(records)
    yield from _sides(sides_of(records))
    yield from _what_happened(records, left_out)
    yield from _the_end(records)
    yield from _what_is_not_told(records)


def final_of(records: Iterable[Record]) -> Record:
    """The record of its end; empty while it goes on."""
    return next((record for record in records if record.get("type") == "call.final"), {})


def _start_of(records: Sequence[Record]) -> Record:
    return next((record for record in records if record.get("type") == "call.start"), records[0])


def _introduction(records: Sequence[Record]) -> Iterator[Said]:
    start, final = _start_of(records), final_of(records)
    yield Said(f"Call {short_id(text(start, 'call_uid'))}, {_day(moment(start))}", heading=True)
    yield Said(f"{_who_called(start)}. {_how_long(final)}")
    if start.get("emergency") is True:
        yield Said("It was a call to an emergency number: no policy may stop one.", Severity.LOW)
    worst, refused = grade_of(final.get("grade_worst")), grade_of(final.get("grade_refused"))
    if final.get("answered") is True:
        yield Said(f"Who could listen at its worst: {who(worst)}{_named(worst)}.", _level(worst))
    elif refused is not None:
        yield Said(f"It was refused. Who could have listened: {who(refused)}{_named(refused)}.", Severity.LOW)


def _who_called(start: Record) -> str:
    caller, called, trunk = (text(start, name) or "somebody" for name in ("from", "to", "trunk"))
    if text(start, "dir") == "internal":
        return f"{caller} called {called}, both at browsers of this gateway"
    over = "which no trunk was found for" if trunk == NO_TRUNK else f"over the trunk {trunk}"
    if text(start, "dir") == "in":
        return f"{caller} called {called} {over}; the call was for {text(start, 'user') or 'nobody known'}"
    return f"{caller} called {called} {over}"


def _how_long(final: Record) -> str:
    if not final:
        return "Its end is not in the log: it goes on, or the end has yet to be written."
    lasted = seconds(final, "duration")
    if final.get("answered") is True and lasted is not None:
        return f"It was answered and lasted {_length(lasted)}."
    return "It was not answered." if final.get("answered") is False else "Whether it was answered nobody knows."


def _who_could_listen(records: Sequence[Record]) -> Iterator[Said]:
    found = stretches(records)
    if not found:
        return
    yield Said("Who could listen", heading=True)
    same_day = found[0].since.date() == found[-1].until.date()
    for stretch in found:
        yield Said(f"  {_span(stretch, same_day)}  {_listeners(stretch)}", _level(stretch.grade))
        for place, codes in stretch.why:
            reasons = " and ".join(because(code) for code in codes) or "no record says why"
            yield Said(f"  {'':{_SPAN}}  {place}: {reasons}", _level(stretch.grade))


_SPAN = 22
_SAME_DAY, _OTHER_DAYS = "%H:%M:%S", "%m-%d %H:%M"


def _span(stretch: Stretch, same_day: bool) -> str:
    form = _SAME_DAY if same_day else _OTHER_DAYS
    words = f"{stretch.since:{form}} to {stretch.until:{form}}"
    return f"{words:<{_SPAN}}"


def _listeners(stretch: Stretch) -> str:
    early = "" if stretch.answered else "before the answer: "
    if stretch.grade is None:
        return f"{early}keys were still being agreed; without them no sound is passed on"
    return f"{early}{who(stretch.grade)}{_named(stretch.grade)}"


def _sides(found: Iterable[SideFacts]) -> Iterator[Said]:
    listed = list(found)
    if not listed:
        return
    yield Said("Each side of the call, as it was last", heading=True)
    for side in listed:
        state = " (another telephone had answered)" if side.lost else ""
        yield Said(f"  {side.place}{state}: {_sound(side)}", _level(side.grade))
        yield Said(f"    {signalling_words(side.transport, side.tls_version, verified=side.verified)}")
        proved = "packets under that key really arrived" if side.proved else ""
        if side.keyed:
            yield Said(f"    {keying_words(side.keying)}{'; ' + proved if proved else ''}")


def _sound(side: SideFacts) -> str:
    if side.keying == "pending":
        return "the sound never got keys, so none was passed on"
    if not side.keyed:
        return "the sound was not encrypted"
    return f"the sound was encrypted by {suite_words(side.suite)}"


def _what_happened(records: Sequence[Record], left_out: int) -> Iterator[Said]:
    yield Said("What happened", heading=True)
    for record in records:
        at = moment(record)
        words = happened(record)
        if words:
            yield Said(f"  {at:%H:%M:%S}  {words}" if at is not None else f"  {'?':8}  {words}", severity(record))
    if left_out:
        yield Said(f"  and {left_out} further records, which `audit show --call` lists", Severity.LOW)


def _the_end(records: Sequence[Record]) -> Iterator[Said]:
    final = final_of(records)
    if not final:
        return
    yield Said("How it ended", heading=True)
    at = moment(final)
    when = f", at {at:%H:%M:%S} UTC" if at is not None else ""
    yield Said(f"  {ending(text(final, 'termination'))}{when} [{text(final, 'termination')}].")
    said = text(final, "cause", "text")
    if said:
        yield Said(f'  The other side said of why: "{said}".')
    if final.get("answered") is not True and texts(final, "codes"):
        for code in texts(final, "codes"):
            yield Said(f"  {because(code)}", Severity.LOW)


def _what_is_not_told(records: Sequence[Record]) -> Iterator[Said]:
    yield Said("What this does not tell", heading=True)
    yield Said("  How the call was protected beyond this gateway's neighbours: nobody here can know.")
    if not final_of(records):
        yield Said("  How it goes on: the call has no final record yet.")
    elif answered_at(records) is None and final_of(records).get("answered") is not False:
        yield Said("  When it was answered: that died with the gateway.")


def _level(grade: Grade | None) -> Severity:
    if grade is None:
        return Severity.INFO
    if grade >= Grade.HOP_BY_HOP:
        return Severity.OK
    return Severity.LOW if grade >= Grade.PARTIAL else Severity.HIGH


def _named(grade: Grade | None) -> str:
    return f" [{grade.name}]" if grade is not None else ""


def _day(at: datetime.datetime | None) -> str:
    return f"{at:%A} {at.day} {at:%B %Y}, {at:%H:%M:%S} UTC" if at is not None else "at a time nobody can read"


def _length(lasted: float) -> str:
    whole = round(lasted)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
