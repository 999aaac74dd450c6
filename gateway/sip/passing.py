"""Header fields that may be passed on from one side of a call to the other, and those that never are.

A gateway that rebuilds every message passes nothing by itself. What an administrator names is passed; but no name opens
what identity, routing, protection or authentication rest on: that would be the other side speaking in our name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.sip.grammar import is_token
from gateway.sip.headers import COMPACT, Headers, canonical

MAX_PASSED = 16
"""Lines of one message that are passed on: more is somebody filling up the other side's datagrams."""
MAX_VALUE = 1024
"""Characters of such a line; User-to-User (RFC 7433) and vendors' headers are shorter."""

NEVER = frozenset(
    "accept accept-contact accept-encoding accept-language accept-resource-priority alert-info allow allow-events "
    "answer-mode authentication-info authorization call-id call-info call-security call-security-ticket "
    "cellular-network-info contact content-disposition content-encoding content-language content-length content-type "
    "cseq date diversion encryption error-info event expires feature-caps flow-timer from gateway-hop "
    "geolocation-routing hide history-info identity identity-info info-package join max-breadth max-forwards "
    "mime-version min-expires min-se p-asserted-identity p-asserted-service p-associated-uri p-called-party-id "
    "p-charging-function-addresses p-charging-vector p-preferred-identity p-preferred-service p-profile-key "
    "p-served-user p-user-database p-visited-network-id path permission-missing policy-contact policy-id "
    "priv-answer-mode privacy proxy-authenticate proxy-authentication-info proxy-authorization proxy-require rack "
    "reason record-route recv-info refer-events-at refer-sub refer-to referred-by reject-contact relayed-charge "
    "remote-party-id replaces reply-to request-disposition require response-key restoration-info retry-after route "
    "rseq security-client security-server security-verify server service-route session-expires session-id sip-etag "
    "sip-if-match subscription-state supported suppress-if-match target-dialog timestamp to trigger-consent "
    "unsupported user-agent via warning www-authenticate".split(" ")
)
"""Header fields this gateway writes itself, or that say who somebody is, where he is reached, or how well a call is
protected (IANA registry "SIP header fields"), and those that say where a message has been."""


def may_pass(name: str) -> bool:
    """Whether a header field of that name can be passed on at all; compact forms are no names here."""
    return is_token(name) and len(name) > 1 and canonical(name) not in NEVER and name.lower() not in COMPACT


def passed_on(headers: Headers, names: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The fields of these names, as often as they stand there, cut off where they are too many or too long.

    Args:
        names: as they are written in the message that is made.
    """
    found: list[tuple[str, str]] = []
    for name in names:
        if may_pass(name):
            found += [(name, value) for value in headers.get_all(name) if _is_plain(value)]
    return tuple(found[:MAX_PASSED])


def _is_plain(value: str) -> bool:
    """Visible text in one line: what a parser let through escaped must not be read as something else elsewhere."""
    return 0 < len(value) <= MAX_VALUE and value.isprintable()


def shared(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    """Names in both lists, in the spelling of the first."""
    known = {name.lower() for name in other}
    return tuple(name for name in one if name.lower() in known)
