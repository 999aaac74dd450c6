"""What is wrong with a dialplan as a whole: rules nobody reaches, groups and classes that are missing, odd numbers.

A rule that never matches is a mistake and not a warning: who wrote it counts on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.base.errors import ConfigError
from gateway.config.compile import compile_dialplan
from gateway.config.document import Document
from gateway.config.schema import DialplanFile
from gateway.config.spelling import dialled_prefix
from gateway.config.yaml import Location
from gateway.routing.coverage import Earlier, together_cover
from gateway.routing.dialplan import SAME_USER
from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.patterns import Pattern
from gateway.routing.permissions import NumberClass, PermissionRule

Plan = Document[DialplanFile]

BUILT_IN = frozenset(NumberClass)
NEEDS_COUNTRY = frozenset({NumberClass.NATIONAL, NumberClass.INTERNATIONAL})
"""Classes nobody can tell apart who does not know where people dial."""


def check_dialplan(plan: Plan, formats: Mapping[str, NumberFormat]) -> Iterator[ConfigError]:
    """Every mistake of a dialplan that shows when its parts are read together."""
    yield from _check_country(plan, formats)
    yield from _check_classes(plan)
    yield from _check_group_names(plan)
    yield from _check_permissions(plan)
    yield from _check_shadowed_outbound(plan)
    yield from _check_shadowed_inbound(plan)
    yield from _check_shadowed_permissions(plan)
    yield from _check_spelling(plan)


def _check_country(plan: Plan, formats: Mapping[str, NumberFormat]) -> Iterator[ConfigError]:
    """What only means something where it is known how people dial."""
    model = plan.model
    if model.country is not None:
        if model.countries and not any(_overlap(model.country, allowed) for allowed in model.countries):
            message = f"numbers of the own country {model.country} could not be called"
            yield plan.error(("countries",), message, f"add {model.country}")
        return
    remedy = "set `country`, for example country: 49"
    if model.countries:
        yield plan.error(("countries",), "without `country` foreign numbers are not known as such", remedy)
    if model.national_digits:
        yield plan.error(("national_digits",), "it has no meaning without `country`", remedy)
    for name, form in formats.items():
        if form is NumberFormat.NATIONAL:
            message = f"trunk {name} has number_format national, and there is no country"
            yield plan.error(("country",), message, remedy)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _check_classes(plan: Plan) -> Iterator[ConfigError]:
    for name in plan.model.classes:
        if name in BUILT_IN:
            yield plan.error(("classes", name), "this class is there already", "give it another name")
        elif not _is_word(name):
            yield plan.error(("classes", name), "a class has a name with a small letter", "for example premium")


def _check_group_names(plan: Plan) -> Iterator[ConfigError]:
    """Groups that rules and permissions name exist."""
    model = plan.model
    named: list[tuple[Location, str | None]] = [
        *((("outbound", i, "group"), rule.group) for i, rule in enumerate(model.outbound)),
        *((("inbound", i, "group"), rule.group) for i, rule in enumerate(model.inbound)),
        *(
            (("permissions", i, "groups", j), g)
            for i, p in enumerate(model.permissions)
            for j, g in enumerate(p.groups)
        ),
    ]
    for where, name in named:
        if name is not None and name not in model.groups:
            remedy = f"groups of this file: {', '.join(model.groups) or 'none'}"
            yield plan.error(where, f"there is no group {name}", remedy)
    for name, group in model.groups.items():
        for index, member in enumerate(group.members):
            if member in group.members[:index] or member == SAME_USER:
                yield plan.error(("groups", name, "members", index), "a member is one user, named once", "remove it")


def _check_permissions(plan: Plan) -> Iterator[ConfigError]:
    """Classes that permissions name exist; a word that is none would be taken for the name of a number."""
    known = ", ".join((*plan.model.classes, *NumberClass))
    for where, name in _named_numbers(plan.model):
        if name in plan.model.classes:
            continue
        if name in NEEDS_COUNTRY and plan.model.country is None:
            yield plan.error(where, f"{name} means nothing without `country`", "set it, for example country: 49")
        elif _is_word(name) and name not in BUILT_IN:
            yield plan.error(where, f"there is no class {name}", f"classes: {known}")
    for index, rule in enumerate(plan.model.permissions):
        for place, user in enumerate(rule.users):
            if user == SAME_USER:
                remedy = "leave out `users` and `groups`: then it is for everybody"
                yield plan.error(("permissions", index, "users", place), "this is nobody's name", remedy)


def _named_numbers(plan: DialplanFile) -> Iterator[tuple[Location, str]]:
    for index, rule in enumerate(plan.permissions):
        for key, names in (("allow", rule.allow), ("deny", rule.deny)):
            yield from ((("permissions", index, key, place), name) for place, name in enumerate(names))


def _is_word(text: str) -> bool:
    return any(char.islower() for char in text)


class _Rules:
    """Rules that have been looked at, in their order."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._patterns = Earlier()

    def add(self, rule_id: str, pattern: Pattern) -> None:
        self._ids.append(rule_id)
        self._patterns.add(pattern)

    def objection(self, pattern: Pattern) -> str:
        """Why a rule with this pattern can never match behind them; "" where it can."""
        near = self._patterns.near(pattern)
        first = next((number for number in near if self._patterns[number].covers(pattern)), None)
        if first is not None:
            return f"rule {self._ids[first]} ({self._patterns[first].text}) comes first"
        together = not pattern.is_exact and together_cover([self._patterns[number] for number in near], pattern)
        return "the rules before it take all of its numbers together" if together else ""


def _check_shadowed_outbound(plan: Plan) -> Iterator[ConfigError]:
    for wanted in (True, False):
        seen = _Rules()
        for index, rule in enumerate(plan.model.outbound):
            if rule.emergency is wanted:
                pattern = Pattern.parse(rule.dialled)
                yield from _shadowed(plan, ("outbound", index, "dialled"), seen.objection(pattern))
                seen.add(rule.id, pattern)


def _check_shadowed_inbound(plan: Plan) -> Iterator[ConfigError]:
    """For each trunk that a rule names, and for calls of any other one, the rules that take them."""
    told: set[int] = set()
    rules = plan.model.inbound
    for trunk in (None, *dict.fromkeys(rule.trunk for rule in rules if rule.trunk is not None)):
        seen = _Rules()
        for index, rule in enumerate(rules):
            if rule.trunk not in (None, trunk):
                continue
            pattern = Pattern.parse(rule.dialled)
            if rule.trunk == trunk and index not in told and (why := seen.objection(pattern)):
                told.add(index)
                yield from _shadowed(plan, ("inbound", index, "dialled"), why)
            seen.add(rule.id, pattern)


def _shadowed(plan: Plan, where: Location, why: str) -> Iterator[ConfigError]:
    if why:
        yield plan.error(where, f"the rule can never match: {why}", "put the narrower rule first, or remove it")


def _check_shadowed_permissions(plan: Plan) -> Iterator[ConfigError]:
    """A permission all of whose numbers, for all of its callers, an earlier one has decided about."""
    rules, seen = compile_dialplan(plan.model).permissions.rules, _Permissions()
    for index, rule in enumerate(rules):
        earlier = seen.decided_by(rule)
        if earlier is not None:
            message = f"the permission never decides: permission {earlier.id} ({earlier.named}) comes first"
            yield plan.error(("permissions", index), message, "put the narrower one first, or remove it")
        seen.add(rule)


class _Permissions:
    """Permissions that have been looked at, found again by any of their callers, classes or numbers.

    Whoever decides about a later one has all of what that one has, so it is enough to look at those that have one thing
    of each kind.
    """

    def __init__(self) -> None:
        self._rules: list[PermissionRule] = []
        self._for: dict[str | None, set[int]] = {}
        self._of_class: dict[NumberClass, set[int]] = {}
        self._patterns, self._rule_of = Earlier(), list[int]()

    def add(self, rule: PermissionRule) -> None:
        number = len(self._rules)
        self._rules.append(rule)
        for caller in rule.callers if rule.callers is not None else (None,):
            self._for.setdefault(caller, set()).add(number)
        for name in rule.classes:
            self._of_class.setdefault(name, set()).add(number)
        for pattern in rule.patterns:
            self._patterns.add(pattern)
            self._rule_of.append(number)

    def decided_by(self, rule: PermissionRule) -> PermissionRule | None:
        """The first that leaves nothing of this one."""
        alike = list(self._alike(rule))
        found = set.intersection(*alike) if alike else set(range(len(self._rules)))
        return next((self._rules[n] for n in sorted(found) if _decides(self._rules[n], rule)), None)

    def _alike(self, rule: PermissionRule) -> Iterator[set[int]]:
        """Those with one thing of each kind that this one has."""
        if rule.patterns:
            narrow = rule.patterns[0]
            near = self._patterns.near(narrow)
            yield {self._rule_of[number] for number in near if self._patterns[number].covers(narrow)}
        if rule.classes:
            yield self._of_class.get(next(iter(rule.classes)), set())
        everybody = self._for.get(None, set())
        if rule.callers is None:
            yield everybody
        elif rule.callers:
            yield everybody | self._for.get(next(iter(rule.callers)), set())


def _decides(earlier: PermissionRule, rule: PermissionRule) -> bool:
    callers = earlier.callers is None or (rule.callers is not None and rule.callers <= earlier.callers)
    inside = all(any(wide.covers(narrow) for wide in earlier.patterns) for narrow in rule.patterns)
    return callers and inside and rule.classes <= earlier.classes


def _check_spelling(plan: Plan) -> Iterator[ConfigError]:
    """Patterns for numbers as people dial them, where the rules only ever see E.164."""
    model = plan.model
    if model.country is None:
        return
    home = Home(model.country, model.trunk_prefix, model.international_prefix, model.national_digits)
    rules: list[tuple[Location, str]] = [
        (("outbound", i, "dialled"), rule.dialled) for i, rule in enumerate(model.outbound) if not rule.emergency
    ]
    rules += [(("inbound", i, "dialled"), rule.dialled) for i, rule in enumerate(model.inbound)]
    rules += [(("classes", n, i), text) for n, texts in model.classes.items() for i, text in enumerate(texts)]
    for where, text in [*rules, *_named_numbers(model)]:
        prefix = dialled_prefix(text, home)
        if prefix and text not in model.emergency:
            message = f"no number begins with {prefix} here: with `country` it is +E.164 before it is compared"
            yield plan.error(where, message, f"write it with +, for example +{model.country}")
