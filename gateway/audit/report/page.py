"""The report as one page of HTML: nothing in it is fetched, nothing in it runs, and it prints on A4. PURE.

Text of the log is escaped by `markup` wherever it goes; the page forbids scripts and foreign content by its own policy.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.audit.report import plots
from gateway.audit.report.counting import GRADES, MAX_LISTED, OTHERS, UNKNOWN, Listed, Month, Tally
from gateway.audit.report.markup import Html, joined, table, tag
from gateway.audit.report.plots import percent
from gateway.audit.report.style import STYLE
from gateway.audit.verify import Verified
from gateway.audit.words import IN_SHORT, WHO, code_words
from gateway.base.grades import Grade

SHOWN_FINDINGS = 10
SHOWN_REMARKS = 20
SHOWN_SOURCES = 10
"""Rows of lists that are there to be noticed, not to be worked through: the commands give all of them."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Made:
    """When, by what and of what a report was made."""

    at: datetime.datetime
    version: str
    log: str
    """The log, as it was named."""
    keys: int = 0
    """Public keys that signatures were checked with."""


def page(month: Month, verified: Verified, made: Made) -> str:
    """The whole page."""
    name = f"{datetime.date(month.year, month.month, 1):%B %Y}"
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", f"Call security, {name}"),
            tag("style", STYLE),
        ]
    )
    body = tag("main", *_body(month, verified, made, name))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{plots.textures()}{body}</body></html>\n'


def _body(month: Month, verified: Verified, made: Made, name: str) -> Iterator[Html]:
    yield _header(month, made, name)
    yield _summary(month, verified, name)
    yield from _over_time(month, name)
    yield from _by_grade(month.all)
    yield from _by_trunk(month)
    yield from _reasons(month)
    yield from _violations(month)
    yield from _pins(month)
    yield from _exceptions(month)
    yield from _sign_ins(month)
    yield from _policies(month)
    yield from _log(month, verified, made)
    yield from _limits()
    yield _footer(made)


def _header(month: Month, made: Made, name: str) -> Html:
    nodes = ", ".join(list(month.nodes)[:8]) or "no gateway wrote in this month"
    return tag(
        "header",
        tag("h1", f"Call security, {name}"),
        tag("p", f"Gateway {nodes}. All times are UTC. Made on {made.at:%d %B %Y at %H:%M}.", class_="soft"),
    )


# --- at a glance


def _summary(month: Month, verified: Verified, name: str) -> Html:
    tally = month.all
    weak = tally.answered - tally.protected
    figures = tag(
        "dl",
        _figure("Answered calls encrypted on every leg", percent(tally.protected, tally.answered), _of(tally)),
        _figure("Answered calls weaker than that", f"{weak:,}", "at some moment", tone="bad" if weak else ""),
        _figure("Calls refused for their encryption", f"{tally.refused:,}", "by policy, before anybody spoke"),
        _figure(
            "The log itself",
            _verdict(verified),
            f"{verified.records:,} records checked",
            tone="good" if verified.intact else "bad",
        ),
        class_="figures",
    )
    return tag("section", figures, tag("p", _sentence(month, name)), aria_label="At a glance")


def _of(tally: Tally) -> str:
    return f"{tally.protected:,} of {tally.answered:,}"


def _figure(term: str, value: str, more: str, *, tone: str = "") -> Html:
    shown = tag("dd", tag("span", value, **({"class_": tone} if tone else {})), tag("small", more))
    return tag("div", tag("dt", term), shown)


def _verdict(verified: Verified) -> str:
    if verified.intact:
        return "verified"
    return "NOT intact" if verified.findings else "not proved"


def _sentence(month: Month, name: str) -> str:
    tally = month.all
    if not tally.total:
        return f"No call ended in {name}."
    words = f"In {name} {_calls(tally.total)} ended, of which {tally.answered:,} had been answered."
    weak = tally.answered - tally.protected
    if tally.answered and not weak:
        words += " Every answered call was encrypted on every leg from beginning to end."
    elif weak:
        listeners = tally.grades[Grade.CLEARTEXT.name] + tally.grades[Grade.KEY_EXPOSED.name]
        words += f" {weak:,} of them {'was' if weak == 1 else 'were'} weaker at some moment"
        words += f"; {listeners:,} could have been listened to by anyone on the way." if listeners else "."
    if tally.crashed:
        words += f" Of {_calls(tally.crashed)} the end died with the gateway: nobody knows whether anybody spoke."
    return words


def _calls(count: int) -> str:
    return f"{count:,} call" if count == 1 else f"{count:,} calls"


# --- grades


def _over_time(month: Month, name: str) -> Iterator[Html]:
    yield tag("h2", "How calls were protected, day by day")
    if not month.all.answered:
        yield tag("p", "No call was answered, so there is nothing to be drawn.", class_="soft")
        return
    drawing = plots.days(month.days, name)
    words = "Share of answered calls by the worst grade each of them ever had; below, how many calls that were."
    yield tag("figure", _legend(month.all), tag("div", drawing, class_="scroll"), tag("figcaption", words))


def _legend(tally: Tally) -> Html:
    shown = [grade for grade in GRADES if tally.grades[grade]]
    items = (tag("li", plots.swatch(grade), _short(grade)) for grade in shown)
    return tag("ul", *items, class_="legend")


def _short(grade: str) -> str:
    return IN_SHORT[Grade[grade]] if grade in Grade.__members__ else "not known"


def _by_grade(tally: Tally) -> Iterator[Html]:
    yield tag("h2", "Who could hear them")
    rows = [
        [
            joined([plots.swatch(grade), tag("code", grade)]),
            _who(grade),
            f"{tally.grades[grade]:,}",
            percent(tally.grades[grade], tally.answered),
            _hours(tally.seconds[grade]),
        ]
        for grade in GRADES
        if tally.grades[grade] or tally.seconds[grade] or grade in ("HOP_BY_HOP", "CLEARTEXT")
    ]
    heads = ("Grade", "Who could hear the call", "Calls", "Share", "Spoken")
    caption = "Answered calls by their worst grade, and how long was spoken while that grade held"
    yield tag("div", table(caption, heads, rows, numeric=(2, 3, 4)), class_="scroll")
    others = f"Not answered: {tally.unanswered:,}. Refused for their encryption: {tally.refused:,}."
    yield tag("p", others, class_="soft")


def _who(grade: str) -> str:
    return WHO[Grade[grade]] if grade in Grade.__members__ else "the log has no grade for them: a leg never got keys"


def _hours(whole: int) -> str:
    return (
        f"{whole // 3600} h {whole % 3600 // 60:02d} min" if whole >= 3600 else f"{whole // 60} min {whole % 60:02d} s"
    )


def _by_trunk(month: Month) -> Iterator[Html]:
    yield tag("h2", "Trunk by trunk")
    if not month.trunks:
        yield tag("p", "No trunk had a call.", class_="soft")
        return
    rows = [
        [
            _trunk(name),
            plots.shares(tally) if tally.answered else tag("span", "none answered", class_="soft"),
            percent(tally.protected, tally.answered),
            f"{tally.answered:,}",
            f"{tally.refused:,}",
            f"{tally.unanswered + tally.crashed:,}",
        ]
        for name, tally in sorted(month.trunks.items(), key=_weakest_first)
    ]
    heads = ("Trunk", "Answered calls by grade", "Every leg encrypted", "Answered", "Refused", "Unanswered")
    shown = table("The weakest trunk comes first", heads, rows, numeric=(2, 3, 4, 5))
    yield tag("div", shown, class_="scroll")


def _weakest_first(item: tuple[str, Tally]) -> tuple[float, int, str]:
    name, tally = item
    return (tally.protected / tally.answered if tally.answered else 2.0, -tally.total, name)


def _trunk(name: str) -> str:
    return {"-": "no trunk (browser to browser)", OTHERS: "all further trunks"}.get(name, name)


# --- reasons, and what was done about them


def _reasons(month: Month) -> Iterator[Html]:
    yield tag("h2", "Why calls were weaker, or were to be made so")
    if not month.reasons:
        yield tag("p", "No record of this month has a reason: nothing was weaker than wanted.", class_="soft")
        return
    most = max(month.reasons.values())
    rows = [
        [joined([_words(code), Html("<br>"), tag("code", code)]), plots.amount(count, most), f"{count:,}"]
        for code, count in sorted(month.reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    shown = table(
        "Calls whose records have the reason; a call may have several", ("Reason", "", "Calls"), rows, numeric=(2,)
    )
    yield tag("div", shown, class_="scroll")


def _words(code: str) -> str:
    return "further reasons, counted together" if code == OTHERS else code_words(code).capitalize()


def _violations(month: Month) -> Iterator[Html]:
    yield tag("h2", "Violations: what policy refused")
    yield from _events(month.violations, "Nothing was offered or attempted that policy refuses.", "What was done")


def _pins(month: Month) -> Iterator[Html]:
    yield tag("h2", "Pins broken")
    words = "A peer that is known to encrypt and suddenly cannot is either broken, or somebody stands in between."
    yield tag("p", words, class_="soft")
    yield from _events(month.pins, "No peer that is known to encrypt pretended that it cannot.", "What was done")


def _events(listed: Listed, none: str, what: str) -> Iterator[Html]:
    if not listed.count:
        yield tag("p", none, class_="soft")
        return
    rows = [
        [_at(event.at), tag("code", event.call) if event.call else "", event.trunk, _codes(event.codes), event.what]
        for event in listed.events
    ]
    more = f"; the first {MAX_LISTED} are listed" if listed.count > MAX_LISTED else ""
    caption = f"{listed.count:,} in this month{more}. sip-gateway audit call tells each call's story"
    yield tag("div", table(caption, ("When", "Call", "Trunk", "Reasons", what), rows), class_="scroll")


def _codes(codes: Iterable[str]) -> Html:
    parts: list[object] = []
    for code in codes:
        parts += [Html(" ") if parts else "", tag("code", code)]
    return joined(parts)


def _at(at: datetime.datetime | None) -> str:
    return f"{at:%d %b, %H:%M:%S}" if at is not None else "?"


def _exceptions(month: Month) -> Iterator[Html]:
    yield tag("h2", "Exceptions from the policy that were used")
    if not month.exceptions:
        yield tag("p", "No call made use of an exception.", class_="soft")
        return
    rows = [
        [name, use.owner or "\N{EN DASH}", use.reason or "\N{EN DASH}", use.expires or "\N{EN DASH}", f"{use.calls:,}"]
        for name, use in sorted(month.exceptions.items(), key=lambda item: (-item[1].calls, item[0]))
    ]
    heads = ("Exception", "Owner", "Reason", "Expires", "Calls")
    yield tag("div", table("Each was allowed by somebody, until a day", heads, rows, numeric=(4,)), class_="scroll")


def _sign_ins(month: Month) -> Iterator[Html]:
    yield tag("h2", "Failed sign-ins")
    total = sum(month.failed_sign_ins.values())
    if not total:
        yield tag("p", "Nobody tried to sign in who could not prove who they are.", class_="soft")
        return
    top = sorted(month.failed_sign_ins.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_SOURCES]
    rows = [[source, f"{count:,}"] for source, count in top]
    caption = f"{total:,} attempts; the sources with most of them"
    yield tag("div", table(caption, ("Source", "Attempts"), rows, numeric=(1,)), class_="scroll")


def _policies(month: Month) -> Iterator[Html]:
    yield tag("h2", "Policies in force")
    if not month.policies.count:
        yield tag("p", "None was loaded in this month: the one loaded before it stayed in force.", class_="soft")
        return
    rows = [[_at(event.at), event.what] for event in month.policies.events]
    often = "Loaded once" if month.policies.count == 1 else f"Loaded {month.policies.count:,} times"
    yield tag("div", table(often, ("When", "What"), rows), class_="scroll")


# --- the log itself


def _log(month: Month, verified: Verified, made: Made) -> Iterator[Html]:
    yield tag("h2", "Can this log be believed?")
    yield _belief(verified, made)
    if verified.findings:
        rows = [
            [f.place, str(f.seq or "\N{EN DASH}"), f.ts[:19].replace("T", " "), f.words]
            for f in verified.findings[:SHOWN_FINDINGS]
        ]
        count = len(verified.findings) + verified.more_findings
        caption = f"{count:,} findings; the first of them is the first bad record"
        yield tag("div", table(caption, ("Place", "Record", "Written (UTC)", "What is wrong"), rows), class_="scroll")
    if verified.remarks:
        shown = verified.remarks[:SHOWN_REMARKS]
        yield tag("p", "What should be known besides:")
        yield tag("ul", *(tag("li", remark[:1].upper() + remark[1:] + ".") for remark in shown))
    if month.outages.count:
        rows = [[_at(event.at), event.what] for event in month.outages.events]
        yield tag("div", table("Interruptions the log tells of itself", ("When", "What"), rows), class_="scroll")


def _belief(verified: Verified, made: Made) -> Html:
    span = f"Records {verified.first_seq:,} to {verified.last_seq:,} of {made.log} were read and checked."
    if verified.intact:
        signed = "The signatures of its checkpoints are those of the key that was given." if made.keys else ""
        words = "Yes: every record is as it was written, in its order, and none is missing between them."
        return tag("div", tag("p", tag("strong", words)), tag("p", f"{span} {signed}"), class_="note good")
    if not verified.findings:
        words = "It cannot be told: no record of it has a chain."
        return tag("div", tag("p", tag("strong", words)), tag("p", span), class_="note bad")
    words = f"No. The first bad record: {verified.findings[0].line}."
    after = "What this report says of the time from there on is not proved."
    return tag("div", tag("p", tag("strong", words)), tag("p", f"{span} {after}"), class_="note bad")


def _limits() -> Iterator[Html]:
    yield tag("h2", "How to read this")
    terms = [
        ("Leg", "One side of a call: from a browser to the gateway, or from the gateway to a trunk (PBX or carrier)."),
        ("Grade", "How well a call is protected: the grade of its weaker leg, and here the worst it ever had."),
        ("Refused", "Policy demanded more encryption than the other side could give, so there was no call."),
        (
            "Beyond",
            "Nothing here tells what happens beyond the next neighbour: a carrier may hand a call on in the clear.",
        ),
        (
            UNKNOWN,
            "An answered call in which a leg never got keys: no sound was passed on there, and nothing is claimed.",
        ),
    ]
    yield tag(
        "dl",
        *(tag(name, words) for pair in terms for name, words in zip(("dt", "dd"), pair, strict=True)),
        class_="terms",
    )


def _footer(made: Made) -> Html:
    return tag(
        "footer",
        f"Made by sip-gateway {made.version} from {made.log}. The log is the truth; this page is a view of it.",
    )
