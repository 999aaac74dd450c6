"""What one record of a call says, as a sentence for somebody who has never seen one. PURE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.audit import sounds
from gateway.audit.facts import Checkpoint
from gateway.audit.pick import Record, number, part, seconds, text, texts
from gateway.audit.render import render
from gateway.audit.sides import place_of
from gateway.audit.words import IN_SHORT, OF_A_LEG, because, grade_of, keying_words, suite_words, who

_WHEN: Final[dict[str, str]] = {
    Checkpoint.OFFER_RECEIVED: "as offered",
    Checkpoint.BEFORE_OFFER: "before anything was offered",
    Checkpoint.PROVISIONAL: "while it rang",
    Checkpoint.ANSWER: "at the answer",
    Checkpoint.KEYED: "once the two ends had agreed on a key",
    Checkpoint.CHANGE: "by a change during the call",
    Checkpoint.PACKETS: "by the packets that arrived",
    Checkpoint.END: "at the end",
}


def happened(record: Record) -> str:
    """The sentence, one line of harmless text; a type that this version does not know is shown as `audit show` does."""
    tell = _SENTENCES.get(text(record, "type"))
    return tell(record) if tell is not None else render(record)


def _start(record: Record) -> str:
    require, prefer = grade_of(record.get("require")), grade_of(record.get("prefer"))
    words = f"The call came in{_from(record)}. Policy {text(record, 'profile') or 'unknown'}"
    if require is None or prefer is None:
        return f"{words}."
    if require == prefer:
        return f"{words}: every leg must be {OF_A_LEG[require]} [{require.name}], or there is no call."
    demands = "nothing is demanded" if not require else f"at least {IN_SHORT[require]} [{require.name}] is demanded"
    return f"{words}: {demands}; {IN_SHORT[prefer]} [{prefer.name}] is wanted."


def _from(record: Record) -> str:
    source, transport = text(record, "source"), text(record, "transport")
    over = f" over {transport.upper()}" if transport else ""
    return f" from {source}{over}" if source else ""


def _secured(record: Record) -> str:
    return f"{_side(record)}: {_grade(record)} {_when(record)}; {_how(record)}."


def _downgraded(record: Record) -> str:
    if not part(record, "vector_after"):
        status = number(record, "refused_status")
        refused = f" (it answered {status})" if status else ""
        return f"{_side(record)}: encryption was refused{refused}, and policy let it be tried again without."
    was = grade_of(record.get("grade_before"))
    change = f"went from {OF_A_LEG[was]} to {_grade(record)}" if was is not None else _grade(record)
    return f"{_side(record)}: {change} {_when(record)}, which policy tolerated{_exception(record)}{_reasons(record)}."


def _violation(record: Record) -> str:
    message = text(record, "message")
    what = f"a message ({message}) over {text(record, 'flow', 'transport').upper()}" if message else "it"
    if record.get("decision") == "allowed":
        return f"{_side(record)}: against policy, and {what} was let through all the same{_reasons(record)}."
    would = grade_of(record.get("grade_after"))
    otherwise = f"; who could have listened then: {who(would)} [{would.name}]" if would is not None else ""
    return f"{_side(record)}: REFUSED {_when(record)}{_answer(record)}, for{_reasons(record)}{otherwise}."


def _pending(record: Record) -> str:
    if record.get("checkpoint") == Checkpoint.END:
        return f"{_side(record)}: it ended before there were keys, so no sound was ever passed on there."
    return f"{_side(record)}: allowed {_when(record)}; keys were still to be agreed, and until then no sound passes."


def _verified(record: Record) -> str:
    other = "the other side confirmed that it receives ours" if record.get("sent") == "confirmed" else ""
    return f"{_side(record)}: proved by packets, which arrived under the agreed key{'; ' + other if other else ''}."


def _moved(record: Record) -> str:
    lost = "its connection was lost" if record.get("was_lost") is True else "it changed its connection"
    return f"{_side(record)}: {lost}, and the same device went on from {text(record, 'source') or 'elsewhere'}."


def _lost(record: Record) -> str:
    return f"{_side(record)}: another telephone had answered already, so this one was hung up on."


def _transfer(record: Record) -> str:
    target = text(record, "target") or "somebody"
    decided = "was allowed" if record.get("decision") == "allowed" else "was refused"
    return f"{_side(record)}: the wish to hand the call over to {target} {decided}{_answer(record)}."


def _latch(record: Record) -> str:
    address = text(record, "address")
    if record.get("decision") == "refused":
        return f"{_side(record)}: packets from {address} were thrown away{_reasons(record)}."
    signalled = "as announced" if record.get("expected") is True else "which is NOT the announced address"
    return f"{_side(record)}: the sound came from {address}, {signalled}."


def _exception_used(record: Record) -> str:
    name = text(record, "exception_id") or text(record, "id") or "without a name"
    owner, why, until = (text(record, key) for key in ("owner", "reason", "expires"))
    facts = ", ".join(f"{key} {value}" for key, value in (("owner", owner), ("until", until)) if value)
    told = f": {why}" if why else ""
    return f"The exception {name} from the policy was used{' (' + facts + ')' if facts else ''}{told}."


def _final(record: Record) -> str:
    lasted = seconds(record, "duration")
    ended = (
        f"after {lasted:.1f} s of talking" if record.get("answered") is True and lasted is not None else "unanswered"
    )
    worst = grade_of(record.get("grade_worst"))
    grade = f"; at its worst {IN_SHORT[worst]} [{worst.name}]" if worst is not None else ""
    mos = sounds.lowest_opinion(sounds.figures(record))
    sounded = f"; it sounded like {mos} of 4.5 (MOS)" if mos is not None else ""
    return f"The call ended {ended}{grade}{sounded}."


def _side(record: Record) -> str:
    return f"B{place_of(record)[1:]}"


def _grade(record: Record) -> str:
    found = grade_of(record.get("grade_after"))
    return f"{OF_A_LEG[found]} [{found.name}]" if found is not None else "of unknown protection"


def _when(record: Record) -> str:
    return _WHEN.get(text(record, "checkpoint"), text(record, "checkpoint"))


def _how(record: Record) -> str:
    vector = part(record, "vector_after")
    keying = text(vector, "keying")
    return f"{suite_words(text(vector, 'suite'))}, {keying_words(keying)}"


def _reasons(record: Record) -> str:
    codes = texts(record, "codes")
    return ": " + " and ".join(because(code) for code in codes) if codes else ""


def _answer(record: Record) -> str:
    status = number(part(record, "sip_sent"), "code")
    return f" (answered {status})" if status else ""


def _exception(record: Record) -> str:
    name = text(record, "exception_id")
    return f" by exception {name}" if name else ""


_SENTENCES: Final[dict[str, Callable[[Record], str]]] = {
    "call.start": _start,
    "leg.secured": _secured,
    "leg.downgraded": _downgraded,
    "leg.violation": _violation,
    "leg.pending": _pending,
    "leg.verified": _verified,
    "leg.moved": _moved,
    "leg.quality": lambda record: sounds.happened(record, _side(record)),
    "leg.lost": _lost,
    "call.transfer": _transfer,
    "media.latch": _latch,
    "policy.exception_used": _exception_used,
    "call.final": _final,
}
