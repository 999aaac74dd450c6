"""ICE-lite credentials (RFC 8445 5.3)."""

from __future__ import annotations

import itertools

from gateway.webrtc.ice_lite import IceCredentials


def test_credentials_are_longer_than_the_rfc_asks() -> None:
    count = itertools.count()
    credentials = IceCredentials.generate(lambda n: str(next(count)).rjust(n, "x"))
    assert len(credentials.ufrag) * 5 >= 24  # 36 characters carry more than 5 bits each
    assert len(credentials.pwd) * 5 >= 128


def test_a_restart_takes_new_credentials() -> None:
    count = itertools.count()
    first, second = (IceCredentials.generate(lambda n: str(next(count)).rjust(n, "x")) for _ in range(2))
    assert first.ufrag != second.ufrag
    assert first.pwd != second.pwd


def test_the_password_is_not_printed() -> None:
    assert "topsecret" not in repr(IceCredentials("abcdefgh", "topsecret" * 3))
