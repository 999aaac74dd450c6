"""Where SIP messages and reports on media are exported to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.base.values import Secret
from gateway.config.scalars import Model, SecretText, TlsName
from gateway.config.schema.sinks import SinkAddress, SinkTls
from gateway.hep.packet import MAX_PASSWORD


def _fits(value: Secret[str]) -> Secret[str]:
    if not 0 < len(value.reveal().encode()) <= MAX_PASSWORD:
        raise ValueError(f"expected 1 to {MAX_PASSWORD} octets")
    return value


HepPassword = Annotated[SecretText, AfterValidator(_fits)]


class Hep(Model):
    """A capture server, such as Homer, that gets SIP messages without their secrets, and reports on media (HEPv3)."""

    collector: SinkAddress
    """Name or address and port of the server, for example homer.example.com:9060."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """How it is reached. Over udp and tcp everybody on the way reads who calls whom."""
    capture_id: int = Field(default=2001, ge=1, le=2**32 - 1)
    """The number by which the server knows this gateway."""
    password: HepPassword | None = None
    """Authentication key the server wants in each packet: the text, `${NAME}`, or `file:PATH`."""
    people: Literal["pseudonyms", "names"] = "pseudonyms"
    """How users and numbers stand in exported messages: by the pseudonyms of the audit log, or as they are."""
    server_name: TlsName | None = None
    """The name its certificate proves. Default: that in `collector`."""
    tls: SinkTls = SinkTls()
    """Whom we believe, and what we show."""

    @model_validator(mode="after")
    def _has_tls(self) -> Hep:
        if self.transport != "tls" and (self.server_name is not None or self.tls != SinkTls()):
            raise ValueError("server_name and tls are for transport: tls")
        return self
