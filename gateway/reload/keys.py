"""Which keys can change while the gateway runs.

A reload takes a configuration as a whole, or not at all: half of one is what no file says, and whoever looks at the
files would believe what is not so. Where one key needs a restart, nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.base.errors import ConfigError
from gateway.reload.difference import CHANGED, Change

LIVE = (
    "listen.web.certificate",
    "listen.web.key",
    "listen.web.key_password",
    "listen.web.origins",
    "listen.web.allow_missing_origin",
    "listen.tls",
    "media.browser.dtls_setup",
    "media.trunk.bind",
    "media.trunk.advertise",
    "media.header_extensions",
    "media.quality",
    "users",
    "tokens",
    "trunks",
    "dns",
    "dialplan",
    "policy",
    "pins.days",
    "audit.on_unavailable",
    "audit.buffer_mb",
    "audit.sinks",
    "hep",
    "limits",
    "log_level",
)
"""What takes effect when it is loaded, with everything below. A key that stands nowhere needs a restart."""
FIXED = {
    "realm": "passwords and registrations of all users belong to it",
    "listen.web.address": "the socket is open",
    "listen.sip": "the sockets are open",
    "media.browser.bind": "the relay workers have their sockets",
    "media.browser.advertise": "the relay workers write it in candidates",
    "media.browser.ports": "the relay workers have their sockets",
    "media.trunk.ports": "they are shared out among the relay workers",
    "media.workers": "the relay workers run",
    "registration": "the browsers are registered there",
    "audit.directory": "the log is one chain in one place",
    "audit.signing_key": "the checkpoints of one run are signed by one key",
    "audit.people": "one log names people in one way",
    "audit.rotate": "the log is kept by it from when it is opened",
    "audit.retention": "the log is kept by it from when it is opened",
    "pins.file": "what was learned is in one place",
    "admin.socket": "the socket is open",
}
"""What needs a restart, and why."""
SWITCHED = "listen.web.certificate"
"""With it the page is served over TLS, without it in clear: that is another listener."""


def restart_needed(changes: Sequence[Change], *, registrar_moved: bool = False) -> list[ConfigError]:
    """What of these cannot take effect now, each with its remedy.

    Args:
        registrar_moved: whoever registers the browsers is somewhere else, or reaches us elsewhere, by whichever key.
    """
    found = [_mistake(change) for change in changes if not _is_live(change)]
    if registrar_moved and not any(_under(mistake.key, ["registration"]) for mistake in found):
        found.append(_mistake(Change("registration")))
    return found


def _is_live(change: Change) -> bool:
    if change.key == SWITCHED and (change.what != CHANGED or "none" in (change.was, change.now)):
        return False
    return _under(change.key, LIVE) is not None


def _under(key: str, sections: Sequence[str]) -> str | None:
    """The section this key is, or belongs to."""
    return next((section for section in sections if f"{key}.".startswith(f"{section}.")), None)


def _mistake(change: Change) -> ConfigError:
    why = FIXED.get(_under(change.key, tuple(FIXED)) or "", "it is read at the start")
    was = f" ({change.was})" if change.was else ""
    return ConfigError(
        f"this cannot change while the gateway runs: {why}",
        key=change.key,
        remedy=f"restart needed; or put back what it was{was}, and reload",
    )
