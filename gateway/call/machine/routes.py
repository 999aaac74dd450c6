"""Where a number leads: for a user of ours who dials it or hands a call over to it, and for a trunk that does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.base.values import TokenSource
from gateway.call.legs.targets import GroupTarget, Target, TrunkTarget, UserTarget
from gateway.call.machine.circumstances import for_user
from gateway.policy.facts import UNROUTED, Direction, Facts
from gateway.policy.model import EffectivePolicy, strictest
from gateway.routing.dialplan import BY_NAME
from gateway.routing.groups import Group, Ring
from gateway.routing.numbers import in_context, normalise
from gateway.sip.replaces import Replaces
from gateway.sip.uri import SipUri
from gateway.site import Site
from gateway.trunks.selection import Draw, in_order

LOT_LENGTH = 10
"""Characters of a token that a lot is made of: far more than the weights of a rule add up to."""


@dataclass(frozen=True, slots=True)
class Route:
    """What is tried for a number, one after the other."""

    number: str
    """As the first target gets it, or the user who is called."""
    targets: tuple[Target, ...]
    emergency: bool = False
    refused: Termination | None = None
    """Why it is not called although it leads somewhere."""
    policy: EffectivePolicy | None = None
    """What the call must meet where no trunk is called; where policy is why it is refused, what refused it."""

    @property
    def user(self) -> str:
        """The user of ours it leads to by herself; empty where it leads to a trunk or a group."""
        first = self.targets[0] if self.targets else None
        return first.user if isinstance(first, UserTarget) and not first.group else ""

    @property
    def group(self) -> str:
        """The group it leads to; empty where it leads to none."""
        first = self.targets[0] if self.targets else None
        return "" if first is None or isinstance(first, TrunkTarget) else first.group


def dialled(uri: SipUri, realm: str) -> str:
    """The number a URI names: the user up to its first ``;``, in the context it counts in.

    Raises:
        SipError: 404, it cannot be dialled, or counts in a context that is not ours.
    """
    return in_context(normalise(uri.subscriber), uri.phone_context, realm)


def called(uri: SipUri, site: Site) -> str:
    """As `dialled`, but a number for emergencies is one in every context: nobody asks first whose 112 was meant.

    Raises:
        SipError: see `dialled`.
    """
    number = normalise(uri.subscriber)
    return number if site.dialplan.is_emergency(number) else dialled(uri, site.realm)


def calling(uri: SipUri, realm: str) -> str:
    """The caller's number, or what stands in its place."""
    try:
        return dialled(uri, realm)
    except SipError:
        return uri.subscriber


def lots(tokens: TokenSource) -> Draw:
    """Lots drawn from tokens, for what is shared by weight."""
    return lambda below: int(tokens(LOT_LENGTH), 36) % below


def from_user(site: Site, who: Facts, number: str, uri: SipUri, draw: Draw = lambda _: 0) -> Route | None:
    """Where a number or name leads that a user of ours dials; None: nowhere.

    Args:
        draw: decides among trunks that share the calls of a rule by weight.
        who: she, and the connection she asks over; what she may not call is refused.
        uri: where it stood: a user is found by her own name in our domain only.
    """
    found = site.dialplan.route_outbound(number)
    if found is None or (found.rule_id == BY_NAME and uri.host.lower() != site.realm.lower()):
        return None
    if found.user:
        return _within(site, who, found.user, (UserTarget(found.user),))
    if found.group:
        return _within(site, who, found.group, _members(site.dialplan.groups[found.group], without=who.user))
    if not site.dialplan.permits(who.user, found):
        return Route(found.number, (), refused=Termination.NOT_PERMITTED)
    shared = [share.trunk for share in in_order(found.shares, draw)]
    names = dict.fromkeys((*shared, found.trunk, *found.alternatives))
    who = replace(who, emergency=who.emergency or found.emergency)
    asked = dict.fromkeys((site.dialplan.read(number), *found.asked))  # what `strip` and `prefix` make of it counts too
    targets = [_over(site, who, name, found.number_for(name), tuple(asked)) for name in names]
    return _allowed(targets, emergency=found.emergency)


def to_user(site: Site, who: Facts, number: str) -> Route | None:
    """Whom a call of the trunk that asks rings; None: nobody."""
    found = site.dialplan.route_inbound(who.trunk, number)
    if found is None:
        return None
    if found.trunk:
        asked = (site.dialplan.read_from(who.trunk, number),)
        return _allowed([_over(site, who, found.trunk, found.number, asked)])
    if found.group:
        return Route(number, _members(site.dialplan.groups[found.group]))
    return Route(number, (UserTarget(found.user),))


def called_by(site: Site, who: Facts, targets: Iterable[Target]) -> EffectivePolicy:
    """What a call to users of ours must meet: what each of them needs."""
    users = [user for target in targets for user in _users(target)]
    return site.policies.decide_for([for_user(who, site, user) for user in users] or [who])


def _users(target: Target) -> tuple[str, ...]:
    if isinstance(target, TrunkTarget):
        return ()
    return target.users if isinstance(target, GroupTarget) else (target.user,)


def _within(site: Site, who: Facts, name: str, targets: tuple[Target, ...]) -> Route:
    """A call from user to user: it must meet what either of them needs."""
    asked = replace(who, direction=Direction.INTERNAL, trunk=UNROUTED, dialled=name)
    policy = strictest((site.policies.decide(asked), called_by(site, asked, targets)))
    if policy.reject:
        return Route(name, (), refused=Termination.POLICY_REJECTED, policy=policy)
    return Route(name, targets, policy=policy)


def _allowed(targets: Sequence[TrunkTarget], *, emergency: bool = False) -> Route:
    """The way over these trunks, without those that a rule refuses the call for."""
    allowed = tuple(target for target in targets if not target.policy.reject)
    if not allowed:
        first = targets[0]
        return Route(first.number, (), emergency, Termination.POLICY_REJECTED, first.policy)
    return Route(allowed[0].number, allowed, emergency)


def _members(group: Group, without: str = "") -> tuple[Target, ...]:
    """Who rings for a group: all at once, or each in turn; never who calls."""
    users = tuple(user for user in group.members if user != without)
    if group.ring is Ring.PARALLEL:
        return (GroupTarget(group.name, users),) if users else ()
    return tuple(UserTarget(user, group.name, group.seconds) for user in users)


def from_trunk(site: Site, who: Facts, number: str) -> Route:
    """Where a number leads that a trunk hands a call over to: to a user of ours, else back to that trunk and no other.

    What a trunk names is never dialled over another one: that would be a call at our expense.
    """
    return to_user(site, who, number) or _allowed([_back(site, who, number)])


def back_to_trunk(site: Site, who: Facts, number: str, replaces: Replaces | None) -> Route:
    """The way to a dialog that a trunk has with somebody else: to that trunk, whoever the number is."""
    return _allowed([replace(_back(site, who, number), replaces=replaces)])


def _back(site: Site, who: Facts, number: str) -> TrunkTarget:
    return _over(site, who, who.trunk, number, (site.dialplan.read_from(who.trunk, number),))


def _over(site: Site, who: Facts, name: str, number: str, asked: Sequence[str]) -> TrunkTarget:
    """A number behind a trunk, under the policy of everything it may be called by; `number` is what the trunk gets."""
    ways = [replace(who, direction=Direction.OUT, trunk=name, dialled=dialled) for dialled in asked]
    return TrunkTarget(site.trunk(name), site.policies.decide_for(ways), number)
