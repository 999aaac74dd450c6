"""Where a number leads: for a user of ours who dials it or hands a call over to it, and for a trunk that does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.termination import Termination
from gateway.base.values import TokenSource
from gateway.call.legs.targets import GroupTarget, Target, TrunkTarget, UserTarget
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


def lots(tokens: TokenSource) -> Draw:
    """Lots drawn from tokens, for what is shared by weight."""
    return lambda below: int(tokens(LOT_LENGTH), 36) % below


def from_user(site: Site, user: str, number: str, uri: SipUri, draw: Draw = lambda _: 0) -> Route | None:
    """Where a number or name leads that a user of ours dials; None: nowhere.

    Args:
        draw: decides among trunks that share the calls of a rule by weight.
        user: her name; what she may not call is refused.
        uri: where it stood: a user is found by her own name in our domain only.
    """
    found = site.dialplan.route_outbound(number)
    if found is None or (found.rule_id == BY_NAME and uri.host.lower() != site.realm.lower()):
        return None
    if found.user:
        return Route(found.user, (UserTarget(found.user),))
    if found.group:
        return Route(found.group, _members(site.dialplan.groups[found.group], without=user))
    if not site.dialplan.permits(user, found):
        return Route(found.number, (), refused=Termination.NOT_PERMITTED)
    shared = [share.trunk for share in in_order(found.shares, draw)]
    names = dict.fromkeys((*shared, found.trunk, *found.alternatives))
    targets = tuple(_over(site, name, found.number_for(name), emergency=found.emergency) for name in names)
    return Route(targets[0].number, targets, found.emergency)


def to_user(site: Site, trunk: str, number: str) -> Route | None:
    """Whom a call of this trunk rings; None: nobody."""
    found = site.dialplan.route_inbound(trunk, number)
    if found is None:
        return None
    if found.trunk:
        return Route(found.number, (_over(site, found.trunk, found.number),))
    if found.group:
        return Route(number, _members(site.dialplan.groups[found.group]))
    return Route(number, (UserTarget(found.user),))


def _members(group: Group, without: str = "") -> tuple[Target, ...]:
    """Who rings for a group: all at once, or each in turn; never who calls."""
    users = tuple(user for user in group.members if user != without)
    if group.ring is Ring.PARALLEL:
        return (GroupTarget(group.name, users),) if users else ()
    return tuple(UserTarget(user, group.name, group.seconds) for user in users)


def from_trunk(site: Site, trunk: str, number: str) -> Route:
    """Where a number leads that a trunk hands a call over to: to a user of ours, else back to that trunk and no other.

    What a trunk names is never dialled over another one: that would be a call at our expense.
    """
    return to_user(site, trunk, number) or Route(number, (_over(site, trunk, number),))


def back_to_trunk(site: Site, trunk: str, number: str, replaces: Replaces | None) -> Route:
    """The way to a dialog that a trunk has with somebody else: to that trunk, whoever the number is."""
    return Route(number, (replace(_over(site, trunk, number), replaces=replaces),))


def _over(site: Site, name: str, number: str, *, emergency: bool = False) -> TrunkTarget:
    return TrunkTarget(site.trunk(name), site.policies.decide(name, emergency=emergency), number)
