"""Which files of certificates a configuration names, and who uses what is made of them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from functools import partial

from gateway.config.certificates import KeyPair
from gateway.renewal.files import Watched
from gateway.site import Site
from gateway.trunks.model import TrunkTls
from gateway.trunks.tls import client_context, server_context
from gateway.web.server import server_tls


def watched(
    site: Site, use_web: Callable[[ssl.SSLContext], None], use_sip: Callable[[str, ssl.SSLContext], None]
) -> Iterator[Watched]:
    """Every section of the configuration that names certificates, keys or authorities.

    Args:
        use_web: takes the context of the page.
        use_sip: takes that of a trunk, or of the `tls:` listeners with "" as its name.
    """
    web, tls = site.listeners.web, site.listeners.tls
    if web.certificate is not None and web.key is not None:
        pair = KeyPair(web.certificate, web.key, web.key_password)
        yield Watched("listen.web", pair, None, partial(server_tls, web), use_web)
    if tls is not None:
        pair = KeyPair(tls.certificate, tls.key, tls.key_password)
        ca = ("client_ca", tls.client_ca) if tls.client_ca is not None else None
        yield Watched("listen.tls", pair, ca, partial(server_context, tls), partial(use_sip, ""))
    for name, trunk in site.trunks.items():
        yield _watched_of_trunk(name, trunk.tls, partial(use_sip, name))


def _watched_of_trunk(name: str, tls: TrunkTls, use: Callable[[ssl.SSLContext], None]) -> Watched:
    """Without files of its own it has the authorities of the system, which are read again when somebody asks."""
    pair = None
    if tls.certificate is not None and tls.key is not None:
        pair = KeyPair(tls.certificate, tls.key, tls.key_password)
    ca = ("ca", tls.ca) if tls.ca is not None else None
    return Watched(f"trunks.{name}.tls", pair, ca, partial(client_context, tls), use)
