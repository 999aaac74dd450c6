"""Sites and parts of them as a test wants them: written as in a file, checked by the schema, compiled as at a start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.config import schema
from gateway.config.compile import compile_listeners, compile_site, compile_trunk, compile_web
from gateway.media.places import TrunkPlace
from gateway.site import Listeners, Site, WebListener
from gateway.trunks.model import Trunk

REALM = "example.test"
TRUNK_PLACE = TrunkPlace("127.0.0.1")
FILES: Mapping[str, object] = {
    "realm": REALM,
    "listen": {
        "web": {"address": "127.0.0.1:8443", "origins": ["https://example.test"]},
        "sip": ["udp:127.0.0.1:5060"],
    },
    "media": {
        "browser": {"bind": "127.0.0.1", "ports": "10000-10001"},
        "trunk": {"bind": "127.0.0.1", "ports": "20000-20099"},
    },
    "users": "users.yaml",
    "dialplan": "plan.yaml",
    "audit": {"directory": "log"},
}
"""A gateway file without trunks."""


def made_trunk(target: str, *, name: str = "pbx", **settings: object) -> Trunk:
    """A trunk with these keys of its section; with `targets` among them it has those instead."""
    section = {**settings} if "targets" in settings else {"target": target, **settings}
    return compile_trunk(name, schema.Trunk.model_validate(section), TRUNK_PLACE, REALM)


def made_site(plan: Mapping[str, object] | None = None, *, people: Iterable[str] = (), **settings: object) -> Site:
    """A site with these keys of the gateway file, this dialplan, and these users."""
    config = schema.GatewayConfig.model_validate({**FILES, **settings})
    user = {"realm": config.realm, "ha1_md5": "0a" * 16, "ha1_sha256": "0b" * 32}
    users = schema.UsersFile.model_validate({"users": dict.fromkeys(people, user)})
    return compile_site(config, users, schema.DialplanFile.model_validate(plan or {}))


def made_web(**settings: object) -> WebListener:
    """The listener of the page."""
    return compile_web(schema.Web.model_validate(settings))


def made_listeners(*sip: str, tls: Mapping[str, object] | None = None) -> Listeners:
    """Listeners for trunks."""
    return compile_listeners(schema.Listen.model_validate({"web": {"address": "127.0.0.1:0"}, "sip": sip, "tls": tls}))
