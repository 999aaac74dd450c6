from __future__ import annotations

import pytest

from gateway.audit.sinks import export


@pytest.fixture(autouse=True)
def short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers that are down are not waited for as long as a gateway would."""
    monkeypatch.setattr(export, "FLUSH_SECONDS", 1.0)
