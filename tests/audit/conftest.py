from __future__ import annotations

from tests.audit.disk import disk

__all__ = ["disk"]
