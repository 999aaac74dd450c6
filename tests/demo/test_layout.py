"""The files and ports of the demonstration."""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.base.errors import ConfigError
from gateway.base.values import HostPort
from gateway.config.load import LoadedConfig, load_config
from gateway.demo import layout as layout_module
from gateway.demo.layout import OTHER, USER, Layout, prepare
from gateway.demo.machine import alone, free_port, is_free, local_address
from gateway.demo.roles import CALLBACK_NUMBER, ROLES
from gateway.sip.auth import compute_ha1

WEB_PORT = 15443


@pytest.fixture(autouse=True)
def ports_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "SIP_PORT", 15460)
    monkeypatch.setattr(layout_module, "BROWSER_MEDIA_PORT", 15410)
    monkeypatch.setattr(layout_module, "local_address", lambda: "127.0.0.2")


def prepared(directory: Path) -> tuple[Layout, LoadedConfig]:
    layout = prepare(directory, "127.0.0.1", WEB_PORT)
    return layout, load_config(layout.config, environ={})


def test_written_configuration_has_no_mistake_and_no_warning(tmp_path: Path) -> None:
    _, loaded = prepared(tmp_path / "run" / "demo")
    assert loaded.warnings == ()


def test_each_number_leads_to_its_phone_under_its_profile(tmp_path: Path) -> None:
    layout, loaded = prepared(tmp_path)
    plan = loaded.site.dialplan
    for role in layout.roles:
        route = plan.route_outbound(role.number)
        assert route is not None
        trunk = loaded.config.trunks[role.name]
        assert (trunk.target, trunk.security) == (role.target, role.security)
        assert trunk.networks == (f"{role.address.host}/32",)


@pytest.mark.parametrize(("dialled", "rings"), [(OTHER, OTHER), (USER, USER), ("carol", None)])
def test_the_two_users_reach_each_other_by_name(tmp_path: Path, dialled: str, rings: str | None) -> None:
    _, loaded = prepared(tmp_path)
    route = loaded.site.dialplan.route_outbound(dialled)
    assert (route.user if route is not None else None) == rings


def test_tls_trunks_are_checked_against_the_development_ca(tmp_path: Path) -> None:
    layout, loaded = prepared(tmp_path)
    for role in ROLES:
        tls = loaded.config.trunks[role.name].tls
        expected = (layout.certificates.ca.certificate, ("pbx.demo.test",)) if role.transport == "tls" else (None, ())
        assert (tls.ca, tls.names) == expected


def test_number_of_the_callback_rings_the_user(tmp_path: Path) -> None:
    _, loaded = prepared(tmp_path)
    assert [(r.dialled, r.user, r.trunk) for r in loaded.dialplan.inbound] == [(CALLBACK_NUMBER, USER, "callback")]


def test_user_file_holds_the_digests_of_the_password_and_not_the_password(tmp_path: Path) -> None:
    layout, loaded = prepared(tmp_path)
    for name in (USER, OTHER):
        user = loaded.users.users[name]
        assert user.ha1_md5.reveal() == compute_ha1(name, "demo.test", layout.password, "MD5")
        assert user.ha1_sha256.reveal() == compute_ha1(name, "demo.test", layout.password, "SHA-256")
    assert layout.password not in (tmp_path / "users.yaml").read_text()


def test_every_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    prepared(tmp_path / "demo")
    assert stat.S_IMODE((tmp_path / "demo").stat().st_mode) == 0o700
    for name in ("gateway.yaml", "users.yaml", "dialplan.yaml", "password"):
        assert stat.S_IMODE((tmp_path / "demo" / name).stat().st_mode) == 0o600


def test_password_survives_a_restart(tmp_path: Path) -> None:
    assert prepared(tmp_path)[0].password == prepared(tmp_path)[0].password


@pytest.mark.parametrize("damage", ["", "short\n", "bell\x07bell\x07bell\n"])
def test_unusable_password_file_is_replaced(tmp_path: Path, damage: str) -> None:
    (tmp_path / "password").write_text(damage)
    password = prepared(tmp_path)[0].password
    assert len(password) >= 16
    assert (tmp_path / "password").read_text() == f"{password}\n"


def test_browsers_get_a_loopback_address_and_the_machines_own(tmp_path: Path) -> None:
    _, loaded = prepared(tmp_path)
    assert loaded.config.media.browser.bind == ("127.0.0.1", "127.0.0.2")
    assert set(loaded.config.listen.web.origins) == {
        f"https://{name}:{WEB_PORT}" for name in ("127.0.0.1", "localhost", "127.0.0.2")
    }


@contextlib.contextmanager
def occupied(port: int, kind: socket.SocketKind) -> Iterator[None]:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        yield


def test_pages_of_ones_own_may_connect(tmp_path: Path) -> None:
    layout = prepare(tmp_path, "127.0.0.1", WEB_PORT, ["https://crm.example.com"])
    assert load_config(layout.config, environ={}).config.listen.web.origins[-1] == "https://crm.example.com"


def test_taken_ports_are_passed_over_and_told(tmp_path: Path) -> None:
    with occupied(WEB_PORT, socket.SOCK_STREAM), occupied(15460, socket.SOCK_DGRAM):
        layout, _ = prepared(tmp_path)
    assert (layout.ports.web, layout.ports.sip, layout.ports.browser_media) == (WEB_PORT + 1, 15461, 15410)
    assert layout.ports.moved(WEB_PORT)[:2] == [
        f"web port {WEB_PORT} is taken, using {WEB_PORT + 1}",
        "SIP port 15460 is taken, using 15461",
    ]


def test_phone_moves_from_a_taken_port_and_its_trunk_with_it(tmp_path: Path) -> None:
    taken = prepare(tmp_path, "127.0.0.1", WEB_PORT).roles[0].address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((taken.host, taken.port))
        layout, loaded = prepared(tmp_path)
    moved = layout.roles[0].address
    assert (moved.host, moved.port > taken.port) == (taken.host, True)
    assert loaded.config.trunks["echo"].target == f"sip:{moved}"
    assert f"phone {moved.host} port 5070 is taken, using {moved.port}" in layout.ports.moved(WEB_PORT)


def test_sip_port_must_be_free_for_both_transports() -> None:
    with occupied(15470, socket.SOCK_STREAM):
        assert is_free(HostPort("127.0.0.1", 15470), "udp")
        assert not is_free(HostPort("127.0.0.1", 15470), "udp", "tcp")
        assert free_port(("127.0.0.1",), 15470, "udp", "tcp") == 15471


def test_no_free_port_is_an_error_that_says_where() -> None:
    with pytest.raises(ConfigError, match=r"is free on 203\.0\.113\.1"):
        free_port(("203.0.113.1",), 15480, "tcp")  # not an address of this machine: no port can be bound


@pytest.mark.parametrize("address", ["example.com", "::1", "127.0.0.1:80", ""])
def test_page_address_must_be_an_ipv4_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="is not an IPv4 address"):
        prepare(tmp_path, address, WEB_PORT)


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        prepare(tmp_path / "file" / "demo", "127.0.0.1", WEB_PORT)


def test_local_address_is_never_loopback() -> None:
    address = local_address()
    assert address is None or not address.startswith("127.")


def test_a_second_demonstration_in_the_same_directory_is_refused_before_it_writes(tmp_path: Path) -> None:
    with alone(tmp_path / "demo"):
        before = sorted((tmp_path / "demo").iterdir())
        with pytest.raises(ConfigError, match="runs already"), alone(tmp_path / "demo"):
            pytest.fail("entered")
        assert sorted((tmp_path / "demo").iterdir()) == before
    with alone(tmp_path / "demo"):
        pass


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write") as caught, alone(tmp_path / "file" / "demo"):
        pytest.fail("entered")
    assert caught.value.remedy
