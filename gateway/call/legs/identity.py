"""Who calls, and what a trunk is told of that: From, P-Asserted-Identity, Privacy (RFC 3261 8.1.1.3, 3323, 3325).

Who a user of ours is comes from her sign-in and the users file, never from what her browser wrote; of a trunk's callers
what that trunk may be believed. What leaves is written anew for each trunk, as its configuration has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.call.legs import party
from gateway.call.legs.party import Party, Reading
from gateway.routing.numbers import DIGITS, is_number
from gateway.routing.people import Person
from gateway.sip.address import NameAddr
from gateway.sip.message import Message
from gateway.sip.uri import SipUri
from gateway.trunks.identity import Asserts, CallerFrom, PrivacyMode, TrunkIdentity

PREFERRED = "P-Preferred-Identity"
PRIVACY = "Privacy"
WISHES = frozenset(("header", "session", "user", "id", "history", "critical"))
"""Values of Privacy that are passed on (RFC 3323 4.2, RFC 3325 9.3, RFC 7044 10.1); whatever else was asked for
is `id`: who asked in words of his own is hidden too, and they go to nobody."""
ANONYMOUS_HOST = "anonymous.invalid"
"""Host of the address of somebody who wants none (RFC 3323 4.1.1.3)."""
NOBODY = NameAddr("Anonymous", SipUri.of(party.ANONYMOUS, ANONYMOUS_HOST))

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who began a call, as far as that is known, and what he asked to be kept private."""

    user: str = ""
    """Name of a user of ours, as she signs in; empty for a caller a trunk brought."""
    number: str = ""
    """As the dialplan knows it; empty where there is none."""
    name: str = ""
    asserted: bool = True
    """It is vouched for: by our sign-in, or by a trunk that is believed."""
    privacy: frozenset[str] = frozenset()
    """What Privacy asked for (RFC 3323 4.2)."""

    @classmethod
    def of(cls, user: str, person: Person) -> Origin:
        """A user of ours, who wishes nothing."""
        return cls(user, next(iter(person.numbers), ""), person.name)

    def wishing(self, privacy: frozenset[str]) -> Origin:
        """The same with a wish for privacy."""
        return replace(self, privacy=privacy)

    @property
    def is_private(self) -> bool:
        """Whether nobody shall be told who it is."""
        return bool(self.privacy - party.NO_PRIVACY)

    @property
    def wish(self) -> str:
        """What he asked for as a value of Privacy: nothing stands there that is not written here."""
        return ";".join(sorted({word if word in WISHES else "id" for word in self.privacy - {"none"}}))

    def shown(self) -> Party:
        """As a browser is told it."""
        if self.is_private:
            return party.HIDDEN
        return Party(self.name, self.user or self.number or party.ANONYMOUS)


def of_user(invite: Message, user: str, person: Person, reading: Reading) -> Origin:
    """Who a user of ours is: whatever her INVITE says, but for a wish she may have.

    P-Preferred-Identity chooses among her own numbers (RFC 3325 9.2); one that is not hers is not listened to. An
    anonymous From (RFC 3323 4.1) asks for privacy as the header does.
    """
    wishes = (reading.number(value.uri) for value in party.identities(invite, PREFERRED))
    number = next((wish for wish in wishes if wish in person.numbers), next(iter(person.numbers), ""))
    return Origin(user, number, person.name, privacy=_asked(invite))


def of_trunk(invite: Message, reading: Reading, *, trusted: bool) -> Origin:
    """Whom a trunk brings; what it asserts is believed where it is trusted."""
    known = party.asserted(invite, reading) if trusted else None
    number = known.number if known is not None else reading.number(invite.from_.uri)
    name = (known.name if known is not None else "") or party.cleaned(invite.from_.display_name)
    return Origin("", number, name if trusted else "", asserted=known is not None, privacy=_asked(invite))


def _asked(invite: Message) -> frozenset[str]:
    return party.privacy(invite) | ({"id"} if is_anonymous(invite.from_.uri) else set())


def is_anonymous(uri: SipUri) -> bool:
    """The address of somebody who wants none."""
    return uri.subscriber.lower() == party.ANONYMOUS and uri.host.lower() == ANONYMOUS_HOST


@dataclass(frozen=True, slots=True)
class Told:
    """What an INVITE to a trunk says of who calls."""

    address: NameAddr
    """For From, without tag."""
    fields: Fields = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """How a trunk is spoken to: its configuration, and what it needs of the rest."""

    identity: TrunkIdentity
    domain: str
    """Ours, where the trunk wants no other."""
    write: Callable[[str], str]
    """Writes a number as the trunk wants it."""

    @property
    def host(self) -> str:
        """The domain of addresses we give there."""
        return self.identity.domain or self.domain

    def address(self, user: str, name: str = "") -> NameAddr:
        """An address of ours, with `user=phone` where it is a telephone number and the trunk wants that."""
        return NameAddr(name if self.identity.names else "", self.phone(SipUri.of(user, self.host)))

    def phone(self, uri: SipUri) -> SipUri:
        """The URI marked as that of a telephone number (RFC 3261 19.1.1) where the trunk wants it and it is one."""
        if not self.identity.user_phone or not is_telephone(uri.subscriber):
            return uri
        return replace(uri, params=uri.params.with_("user", "phone"))


def is_telephone(user: str) -> bool:
    """Whether a user part is a telephone number, and no name or feature code."""
    return is_number(user) and DIGITS.issuperset(user.removeprefix("+"))


def tell(origin: Origin, voice: Voice, *, emergency: bool = False) -> Told:
    """What a trunk is told of a caller.

    Who wants privacy is nobody to a trunk that is not trusted with it; one that is gets the identity and the wish. An
    emergency call is never anonymous: who answers it must be able to call back (RFC 3325 9.3 leaves that to policy).
    """
    private = origin.is_private and not emergency
    shown = voice.address(_user_part(origin, voice), origin.name)
    if not private:
        return Told(shown, _asserted(origin, voice))
    if voice.identity.privacy is PrivacyMode.ACT:
        return Told(NOBODY)
    return Told(NOBODY, (*_asserted(origin, voice), (PRIVACY, origin.wish)))


def tell_registrar(origin: Origin, realm: str) -> Told:
    """What a trunk is told that registers and authenticates our users itself: it knows them, and gets their wishes."""
    fields = ((PRIVACY, origin.wish),) if origin.is_private else ()
    return Told(NameAddr("", SipUri.of(origin.user, realm)), fields)


def _user_part(origin: Origin, voice: Voice) -> str:
    identity = voice.identity
    number = voice.write(origin.number) if origin.number else ""
    if identity.from_ is CallerFrom.FIXED:
        return identity.number
    if identity.from_ is CallerFrom.NUMBER:
        return number or identity.number or origin.user or party.ANONYMOUS
    return origin.user or number or party.ANONYMOUS


def _asserted(origin: Origin, voice: Voice) -> Fields:
    """The identity we vouch for, or wish to have; nothing where nobody vouches."""
    asserts = voice.identity.asserts
    if asserts is Asserts.NONE or not origin.asserted:
        return ()
    user = voice.write(origin.number) if origin.number else voice.identity.number or origin.user
    if not user:
        return ()
    header = party.HEADER if asserts is Asserts.ASSERTED else PREFERRED
    return ((header, str(voice.address(user, origin.name))),)
