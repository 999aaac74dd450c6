"""The TLS of sinks: whoever receives the log has proved its name."""

from __future__ import annotations

import ssl

from gateway.audit.sinks.plan import TlsPlan


def client_context(plan: TlsPlan) -> ssl.SSLContext:
    """Certificate and name are verified, TLS 1.2 at least.

    Made for each connection, so that a renewed certificate or authority is taken without being told of. Reads files:
    not to be called in the event loop.

    Raises:
        OSError: a file cannot be read, or is not what it should be (`ssl.SSLError` is one).
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=plan.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if plan.certificate is not None:
        password = plan.key_password.reveal() if plan.key_password is not None else ""
        context.load_cert_chain(plan.certificate, plan.key, password)
    return context
