"""What must be true of the issuers of tokens (`tokens`), and what their key files must hold."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.base.errors import ConfigError
from gateway.config.certificates import check_ca
from gateway.config.document import Document
from gateway.config.schema import GatewayConfig
from gateway.tokens.keys import KeyRing, KeysError
from gateway.tokens.source import read_file


def check_issuers(gateway: Document[GatewayConfig]) -> Iterator[ConfigError]:
    """Every mistake in them. What is at a URL is looked at when the gateway runs."""
    config = gateway.model
    seen: set[str] = set()
    for number, issuer in enumerate(config.tokens):
        if issuer.issuer in seen:
            yield gateway.error(("tokens", number, "issuer"), "this issuer is there twice", "leave one of the two out")
        seen.add(issuer.issuer)
        if issuer.users == "listed" and config.users is None and config.registration is None:
            remedy = "name the users file, or write users: any"
            yield gateway.error(("tokens", number, "users"), "there is no users file to list the users", remedy)
        for finding in check_ca("keys_ca", issuer.keys_ca) if issuer.keys_ca is not None else ():
            yield gateway.error(("tokens", number, finding.key), finding.message, finding.remedy)
        if issuer.keys_file is None:
            continue
        try:
            KeyRing.parse(read_file(issuer.keys_file))
        except KeysError as error:
            remedy = 'put the issuer\'s JWKS there: {"keys": [...]} with an RSA or P-256 key'
            yield gateway.error(("tokens", number, "keys_file"), str(error), remedy)
