"""Where the gateway listens: addresses, certificates, and who may open a WebSocket."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field, model_validator

from gateway.config.scalars import FilePath, Model, Origin, SecretText, Written, host_and_port, ip_address


class Endpoint(Written):
    """An address to listen on, written `host:port` (`[v6]:port`)."""

    host: str
    port: int = Field(ge=0, le=65535)

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        host, port = host_and_port(text)
        return {"host": ip_address(host.strip("[]")), "port": port}


class SipListener(Written):
    """One SIP listener, written `transport:host:port` with transport udp, tcp or tls."""

    transport: Literal["udp", "tcp", "tls"]
    address: Endpoint

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        transport, colon, rest = text.partition(":")
        if not colon:
            raise ValueError("expected transport:host:port, for example udp:0.0.0.0:5060")
        return {"transport": transport.lower(), "address": rest}


class Web(Model):
    """The HTTPS listener: softphone page and SIP over WebSocket."""

    address: Endpoint
    """IP address and port of the HTTPS listener, for example 0.0.0.0:8443."""
    certificate: FilePath | None = None
    """PEM file with the server certificate and its chain. Without it plain ws:// is served, on loopback only."""
    key: FilePath | None = None
    """PEM file with the private key of `certificate`."""
    key_password: SecretText | None = None
    """Password of `key`: the text, `${NAME}` from the environment, or `file:PATH`."""
    origins: tuple[Origin, ...] = ()
    """Origins allowed to open the WebSocket, exact match, for example https://pbx.example.com. The gateway's own page
    must be listed too."""
    allow_missing_origin: bool = False
    """Accept WebSocket clients that send no Origin (not browsers). Off: they get 403."""

    @model_validator(mode="after")
    def _plain_only_on_loopback(self) -> Web:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.certificate is None and not ipaddress.ip_address(self.address.host).is_loopback:
            raise ValueError("plain ws:// is served on loopback only: give certificate and key")
        return self


class ListenTls(Model):
    """The gateway's certificate on `tls:` listeners, and who may prove itself there by a client certificate."""

    certificate: FilePath
    """PEM file with the certificate and its chain."""
    key: FilePath
    """PEM file with the private key of `certificate`."""
    key_password: SecretText | None = None
    """Password of `key`: the text, `${NAME}` from the environment, or `file:PATH`."""
    client_ca: FilePath | None = None
    """CA file for client certificates; without it no inbound TLS request counts as verified by certificate."""


class Listen(Model):
    """Where the gateway listens."""

    web: Web
    """The HTTPS listener for browsers."""
    sip: tuple[SipListener, ...] = ()
    """Listeners for trunks, each `udp:`, `tcp:` or `tls:` and an address, for example udp:0.0.0.0:5060."""
    tls: ListenTls | None = None
    """Certificate of the `tls:` listeners; required when there is one."""

    @model_validator(mode="after")
    def _tls_has_certificate(self) -> Listen:
        if any(s.transport == "tls" for s in self.sip) and self.tls is None:
            raise ValueError("a tls: listener needs listen.tls with certificate and key")
        return self
