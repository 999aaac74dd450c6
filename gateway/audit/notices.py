"""Builders of records that belong to no call: sign-ins, TLS peers, policies in force, start and stop.

As in `record`, no builder has a parameter through which a key, password or message body could pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.audit.clean import MAX_ITEMS
from gateway.audit.facts import make, party, place, tls_facts
from gateway.base.codes import Code, known_codes
from gateway.base.signalling import TlsInfo
from gateway.base.values import HostPort
from gateway.policy.catalogue import alert_of
from gateway.policy.model import EffectivePolicy
from gateway.policy.pins import USER

RECOVERED = "recovered"
"""Field of `admin.start`: calls of earlier runs that got their end before it. With it, nothing older is open."""
ALL_ENDED = "all_ended"
"""Field of `admin.stop`: every call of the run has its final record in the log."""


def auth_ok(*, user: str, source: HostPort, transport: str, method: str, unrecorded: int = 0) -> dict[str, object]:
    """A connection has proved who its user is; everything else that comes over it is that user's.

    Args:
        unrecorded: sign-ins of this user since the last such record that were too many for a record each.
    """
    fields: dict[str, object] = {
        "user": party(user),
        "source": place(source),
        "transport": transport,
        "method": method,
        "unrecorded": unrecorded,
    }
    return make("auth.ok", fields)


def auth_fail(*, user: str, source: HostPort, transport: str, reason: str, method: str = "") -> dict[str, object]:
    """Somebody could not prove who they are; neither password, nonce nor digest is kept."""
    fields: dict[str, object] = {
        "user": party(user),
        "source": place(source),
        "transport": transport,
        "method": method,
        "reason": reason,
        "codes": _codes([reason]),
    }
    return make("auth.fail", fields)


def _codes(reasons: Iterable[str]) -> list[str]:
    """Those among the reasons that are codes of the catalogue; a wrong password is none."""
    return sorted(known_codes(reasons))


def auth_fail_summary(
    *,
    source: str,
    transport: str,
    count: int,
    seconds: float,
    users: Iterable[str],
    more_users: int,
    reasons: Mapping[str, int],
) -> dict[str, object]:
    """How often one source could not prove who it is, since its last `auth.fail`.

    Args:
        source: an IPv4 address, an IPv6 /64, or words for the sources that are not counted apart.
        users: the first few names claimed.
        more_users: failures with further names.
    """
    fields: dict[str, object] = {
        "source": source,
        "transport": transport,
        "count": count,
        "seconds": round(seconds, 1),
        "users": [party(user) for user in users],
        "more_users": more_users,
        "reasons": dict(reasons),
        "codes": _codes(reasons),
    }
    return make("auth.fail", fields)


def tls_peer(*, trunk: str, address: HostPort | str, identity: TlsInfo, outgoing: bool = True) -> dict[str, object]:
    """What a TLS peer proved about itself (RFC 5922); one record per connection."""
    fields: dict[str, object] = {
        "trunk": trunk,
        "address": str(address),
        "outgoing": outgoing,
        **tls_facts(identity),
        "codes": [] if identity.verified else [str(Code.TLS_UNVERIFIED)],
    }
    return make("tls.peer", fields)


def policy_loaded(
    policies: Iterable[EffectivePolicy],
    *,
    config_sha256: str = "",
    by: str = "start",
    changes: Sequence[str] = (),
) -> dict[str, object]:
    """Which policy each trunk's calls run under from now on.

    Args:
        config_sha256: of the whole configuration, without its secrets.
        by: who asked for it.
        changes: what is different from the configuration before, in words that hold no secret and no person's name.
    """
    listed = [{"trunk": p.trunk, "profile": str(p.profile), "sha256": p.sha256} for p in policies]
    fields: dict[str, object] = {
        "trunks": len(listed),
        "policies": listed[:MAX_ITEMS],
        "config_sha256": config_sha256,
        "by": by,
        "changes": list(changes[:MAX_ITEMS]),
        "more_changes": max(0, len(changes) - MAX_ITEMS),
    }
    return make("policy.loaded", fields)


def key_withheld(*, where: str, count: int) -> dict[str, object]:
    """A key was on its way into the program's own log, and did not get there.

    Args:
        where: the logger that was about to write it.
        count: how often since the last such record.
    """
    code = Code.GW_KEY_LEAK
    alert = str(alert_of([code], required=True))
    return make("log.withheld", {"where": where, "count": count, "codes": [str(code)], "alert": alert})


def pin_learned(peer: str, call_uid: str) -> dict[str, object]:
    """A trunk or user has been seen to encrypt, in this call, and is held to it from now on."""
    return make("pin.learned", {**_pinned(peer), "seen_in": call_uid})


def pins_cleared(peer: str) -> dict[str, object]:
    """An administrator lets a trunk or user off."""
    return make("admin.pins_cleared", _pinned(peer))


def _pinned(peer: str) -> dict[str, object]:
    is_user = peer.startswith(USER)
    return {"user": party(peer.removeprefix(USER))} if is_user else {"trunk": peer}


def gateway_started(version: str, *, recovered: int = 0) -> dict[str, object]:
    """The gateway begins to take calls; `recovered` calls of earlier runs got their final record before."""
    return make("admin.start", {"version": version, RECOVERED: recovered})


def gateway_stopped(reason: str, *, all_ended: bool = False) -> dict[str, object]:
    """The gateway ends on purpose; a log that ends without this ended otherwise."""
    return make("admin.stop", {"reason": reason, ALL_ENDED: all_ended})
