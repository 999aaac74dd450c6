"""Named counters: whatever is dropped or refused silently is at least counted.

Names are fixed members of `Counter`, so that no peer can make up a label.
"""

from __future__ import annotations

from collections import Counter as _Tally
from enum import StrEnum

from gateway.base.termination import Termination


class Counter(StrEnum):
    """Everything that is counted outside of a call."""

    SIP_UNKNOWN_SOURCE = "sip_unknown_source"
    SIP_MALFORMED = "sip_malformed"
    SIP_REJECTED = "sip_rejected"
    SIP_OVERSIZE = "sip_oversize"
    SIP_LARGE_DATAGRAM = "sip_large_datagram"
    SIP_UNMATCHED_RESPONSE = "sip_unmatched_response"
    SIP_TRANSACTIONS_FULL = "sip_transactions_full"
    OFFER_GLARE = "offer_glare"
    OFFER_UNEXPECTED = "offer_unexpected"
    INVITE_UNEXPECTED = "invite_unexpected"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMEOUT = "connection_timeout"
    KEEPALIVE_LOST = "keepalive_lost"
    TLS_HANDSHAKE_FAILED = "tls_handshake_failed"
    WEBSOCKET_REFUSED = "websocket_refused"
    WEBSOCKET_DEAD = "websocket_dead"
    TOKENS_REFUSED = "tokens_refused"
    ISSUER_KEYS_FAILED = "issuer_keys_failed"
    WEBSOCKET_NOT_SIGNED_IN = "websocket_not_signed_in"
    WEBSOCKET_EVICTED = "websocket_evicted"
    CONNECTION_EVICTED = "connection_evicted"
    EVENTS_REFUSED = "events_refused"
    EVENTS_CUT = "events_cut"
    SIP_TOO_FAST = "sip_too_fast"
    AUTH_FAILED = "auth_failed"
    AUTH_DELAYED = "auth_delayed"
    TRUNK_UNPROVED = "trunk_unproved"
    CERTIFICATES_LOADED = "certificates_loaded"
    CERTIFICATES_REFUSED = "certificates_refused"
    RELOADS = "reloads"
    RELOADS_REFUSED = "reloads_refused"
    FLOWS_LOST = "flows_lost"
    FLOWS_MOVED = "flows_moved"
    LOCATION_FAILED = "location_failed"
    DIGITS_LOST = "digits_lost"
    TRUNK_DOWN = "trunk_down"
    TRUNK_PROBES = "trunk_probes"
    REGISTRATION_LOST = "registration_lost"
    TRUNK_PLACE_DOWN = "trunk_place_down"
    TRUNK_FAILOVER = "trunk_failover"
    CALLS_STARTED = "calls_started"
    CALLS_ENDED = "calls_ended"
    LEGS_SECURED = "legs_secured"
    LEGS_DOWNGRADED = "legs_downgraded"
    LEGS_REFUSED = "legs_refused"
    LEGS_VERIFIED = "legs_verified"
    LEGS_CONTRADICTED = "legs_contradicted"
    AUDIT_BUFFERED = "audit_buffered"
    AUDIT_DROPPED = "audit_dropped"
    AUDIT_SINK_DROPPED = "audit_sink_dropped"
    AUDIT_SINK_FAILED = "audit_sink_failed"
    HEP_SENT = "hep_sent"
    HEP_DROPPED = "hep_dropped"
    HEP_FAILED = "hep_failed"
    WORKER_RESTARTED = "worker_restarted"
    WORKER_HUNG = "worker_hung"
    WORKER_RELIEVED = "worker_relieved"


class Counters:
    """A tally of `Counter` names. One instance is handed down from the composition root."""

    def __init__(self) -> None:
        self._tally: _Tally[str] = _Tally()
        self.endings: _Tally[Termination] = _Tally()
        """Calls ended, by the reason that response, log and audit record carry too."""

    def add(self, name: Counter, amount: int = 1) -> None:
        self._tally[name] += amount

    def end_call(self, termination: Termination) -> None:
        """Count a call that has ended, and why."""
        self.add(Counter.CALLS_ENDED)
        self.endings[termination] += 1

    def __getitem__(self, name: Counter) -> int:
        return self._tally[name]

    def snapshot(self) -> dict[str, int]:
        """Every counter with its value, zeros included."""
        return {c.value: self._tally[c] for c in Counter}
