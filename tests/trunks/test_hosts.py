"""The hosts file (hosts(5))."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.trunks.hosts import HostsFile, parse_hosts


def test_every_name_of_a_line_has_its_address() -> None:
    text = (
        "127.0.0.1 localhost\n# 10.0.0.9 old\n10.0.0.5\tpbx.example.com  PBX # the box\n\nnonsense pbx\n::1 localhost\n"
    )
    found = parse_hosts(text)
    assert found["pbx"] == ["10.0.0.5"]
    assert found["pbx.example.com"] == ["10.0.0.5"]
    assert found["localhost"] == ["127.0.0.1", "::1"]
    assert "old" not in found


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.addresses("pbx") == ()
    path.write_text("10.0.0.5 pbx\n")
    assert hosts.addresses("PBX.") == ["10.0.0.5"]
    path.write_text("10.0.0.66 pbx\n")
    os.utime(path, ns=(1, 1))
    assert hosts.addresses("pbx") == ["10.0.0.66"]
    path.unlink()
    assert hosts.addresses("pbx") == ()
