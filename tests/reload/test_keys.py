"""Every key of the configuration either takes effect when it is loaded, or is named as one that needs a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.config import schema
from gateway.config.scalars import Model, keys
from gateway.reload.difference import ADDED, CHANGED, REMOVED, Change
from gateway.reload.keys import FIXED, LIVE, SWITCHED, restart_needed


def paths(model: type[Model], before: str = "") -> Iterator[str]:
    """Every key of a model and of the models below it, as far as sections have no names of their own."""
    for name, field in keys(model).items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Model):
            yield from paths(kind, f"{before}{name}.")
        else:
            yield before + name


def is_under(key: str, section: str) -> bool:
    return f"{key}.".startswith(f"{section}.")


@pytest.mark.parametrize("key", [*paths(schema.GatewayConfig)])
def test_each_key_of_the_gateway_file_is_known_to_be_one_or_the_other(key: str) -> None:
    live, fixed = any(is_under(key, one) for one in LIVE), any(is_under(key, one) for one in FIXED)
    assert live != fixed, f"{key}: say in gateway/reload/keys.py whether it changes while the gateway runs"


@pytest.mark.parametrize("key", [*FIXED, "registration.max_expires", "listen.sip", "a.key.nobody.knows"])
def test_what_cannot_change_is_named_with_its_remedy(key: str) -> None:
    (mistake,) = restart_needed([Change("limits.calls", CHANGED, "1", "2"), Change(key, CHANGED, "old", "new")])
    assert (mistake.key, "cannot change while the gateway runs" in str(mistake)) == (key, True)
    assert mistake.remedy == "restart needed; or put back what it was (old), and reload"


def test_a_registrar_that_is_reached_otherwise_by_any_key_needs_a_restart() -> None:
    change = Change("trunks.pbx.target", CHANGED, "sip:a;transport=udp", "sip:a;transport=tls")
    assert restart_needed([change]) == []
    assert [mistake.key for mistake in restart_needed([change], registrar_moved=True)] == ["registration"]
    own = [change, Change("registration.address", CHANGED)]
    assert [mistake.key for mistake in restart_needed(own, registrar_moved=True)] == ["registration.address"]


def test_a_page_that_was_in_clear_needs_a_restart_for_tls_and_another_certificate_does_not() -> None:
    assert restart_needed([Change(SWITCHED, CHANGED, "a.pem", "b.pem")]) == []
    for change in (Change(SWITCHED, ADDED), Change(SWITCHED, REMOVED), Change(SWITCHED, CHANGED, "none", "b.pem")):
        assert len(restart_needed([change])) == 1
