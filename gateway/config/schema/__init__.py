"""The configuration as frozen models: every key the gateway knows, typed, with its default and its meaning.

YAML scalars arrive here as text (`load` reads no implicit booleans, numbers or times) and are typed by these
models. Unknown keys are errors. The docstring under a key is its text in docs/configuration.md and the remedy
told when its value is wrong.
"""

from __future__ import annotations

from gateway.config.schema.dialplan import DialplanFile, Group, InboundRule, OutboundRule, Permission, TrunkShare
from gateway.config.schema.hep import Hep
from gateway.config.schema.limits import Admin, Audit, Connections, Limits, PinSettings
from gateway.config.schema.listen import Endpoint, Listen, ListenTls, SipListener, Web
from gateway.config.schema.media import BrowserMedia, Media, PortRange, TrunkAddresses, TrunkMedia
from gateway.config.schema.policy import (
    PolicyException,
    PolicyFile,
    PolicyFloor,
    PolicyKeys,
    PolicyMatch,
    PolicyMedia,
    PolicyNumbers,
    PolicyProfile,
    PolicyRule,
    PolicySource,
)
from gateway.config.schema.registration import PublicAddress, Registration
from gateway.config.schema.root import Dns, GatewayConfig
from gateway.config.schema.trunk import (
    Trunk,
    TrunkAuth,
    TrunkDtls,
    TrunkIdentity,
    TrunkInbound,
    TrunkRegistration,
    TrunkTarget,
    TrunkTls,
)
from gateway.config.schema.users import TokenIssuer, User, UsersFile

__all__ = [
    "Admin",
    "Audit",
    "BrowserMedia",
    "Connections",
    "DialplanFile",
    "Dns",
    "Endpoint",
    "GatewayConfig",
    "Group",
    "Hep",
    "InboundRule",
    "Limits",
    "Listen",
    "ListenTls",
    "Media",
    "OutboundRule",
    "Permission",
    "PolicyException",
    "PolicyFile",
    "PolicyFloor",
    "PolicyKeys",
    "PolicyMatch",
    "PolicyMedia",
    "PolicyNumbers",
    "PolicyProfile",
    "PolicyRule",
    "PolicySource",
    "PinSettings",
    "PortRange",
    "PublicAddress",
    "Registration",
    "SipListener",
    "TokenIssuer",
    "Trunk",
    "TrunkAddresses",
    "TrunkAuth",
    "TrunkInbound",
    "TrunkRegistration",
    "TrunkMedia",
    "TrunkIdentity",
    "TrunkShare",
    "TrunkTarget",
    "TrunkDtls",
    "TrunkTls",
    "User",
    "UsersFile",
    "Web",
]
