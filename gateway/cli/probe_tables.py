"""What a probe found, for people: a line that says how it went, then times, ends and legs. PURE but for rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from gateway.cli.tables import grade
from gateway.probe.offers import Attempt, Findings
from gateway.probe.result import End, Result, Status

CALLED = 200
"""SIP status of a call that came about; without one its ends have nothing to tell."""
STYLES = {Status.OK: "bold green", Status.WARNING: "bold yellow", Status.CRITICAL: "bold red", Status.UNKNOWN: "bold"}
NAMES = {
    "connect": "WebSocket open",
    "sign_in": "signed in",
    "ringing": "INVITE to 18x",
    "answer": "to 200",
    "ice": "ICE",
    "dtls": "DTLS",
    "first_audio": "first sound",
}
"""Words for the times; each counts from the one before."""


def of_result(result: Result, status: Status, complaints: Sequence[str], *, steps: bool) -> Iterator[Text]:
    """A synthetic call."""
    why = "; ".join(complaints) or "as it should be"
    yield Text.assemble((status.name, STYLES[status]), f" {result.what}: {why}")
    times = ", ".join(f"{NAMES.get(name, name)} {seconds * 1000:.0f} ms" for name, seconds in result.marks.items())
    if times:
        yield Text(f"  times     {times}")
    for end in result.ends if result.status == CALLED else ():
        yield Text(f"  {end.name:<9} {_end(end)}")
    yield from _security(result)
    for leg in result.legs:
        found = leg.get("codes")
        codes = " ".join(str(code) for code in found) if isinstance(found, list) else ""
        name = f"leg {leg.get('leg')} {leg.get('kind')}"
        yield Text.assemble(f"  {name:<15} ", grade(_word(leg.get("grade"))), f" {leg.get('protection')} {codes}")
    for number, step in enumerate(result.steps if steps else (), 1):
        yield Text(f"  {number}. {step}", "dim")


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _security(result: Result) -> Iterator[Text]:
    said = result.security
    if said:
        words = f" browser {said.get('browser', '-')}; trunk {said.get('trunk', '-')}; {said.get('scope', '')}"
        yield Text.assemble("  security  ", grade(said.get("grade")), words)


def _end(end: End) -> str:
    heard = end.heard
    sound = (
        f"heard {heard.frequency:g} Hz ({heard.purity:.0%} pure) at {heard.level_dbfs:g} dBFS, {heard.gaps} gaps"
        if heard.is_sound
        else "heard nothing"
    )
    losses = f", {end.lost} packets lost" if end.lost else ""
    refused = f", {end.refused} not authentic" if end.refused else ""
    return f"{end.codec or '-'} {end.protection or '-'}, sent {end.sent_hz:g} Hz, {sound}{losses}{refused}"


def of_findings(found: Findings) -> Iterator[Text]:
    """What a trunk can do."""
    name = f" as {found.verified_name}" if found.verified_name else ""
    yield Text(f"trunk {found.trunk} at {found.place or found.target}{name}")
    if found.failure:
        yield Text.assemble(("  not reached ", "bold red"), found.failure)
    answered = f"{found.options} {found.server}".rstrip() if found.options else "no answer"
    yield Text(f"  OPTIONS   {answered}")
    for attempt in found.attempts:
        yield _attempt(attempt)
    word = found.recommended.value if found.recommended else "nothing"
    style = "bold green" if found.recommended else "bold yellow"
    keying = f", keying: [{', '.join(found.keying)}]" if found.keying else ""
    yield Text.assemble("  recommended: security: ", (word, style), f"{keying} ({found.because})")
    for number, step in enumerate(found.steps, 1):
        yield Text(f"  {number}. {step}", "dim")


def _attempt(attempt: Attempt) -> Text:
    style = "green" if attempt.works else "red"
    what = f"{attempt.protection}, {attempt.packets} packets" if attempt.protection else ""
    words = "; ".join(part for part in (what, attempt.why) if part)
    return Text.assemble(f"  {attempt.offer.value:<9} ", ("works" if attempt.works else "fails", style), f" {words}")
