"""Hours of the week: by the clock on the wall of a place, over midnight, in summer and in winter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.config.policy_scalars import window
from gateway.policy.times import together_hold


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "moment", "holds"),
    [
        ("Mon-Fri 08:00-18:00", "2030-01-02 08:00", True),
        ("Mon-Fri 08:00-18:00", "2030-01-02 07:59", False),
        ("Mon-Fri 08:00-18:00", "2030-01-02 18:00", False),
        ("Mon-Fri 08:00-18:00", "2030-01-05 12:00", False),
        ("Sat,Sun 00:00-24:00", "2030-01-05 23:59", True),
        ("Sat-Mon 00:00-24:00", "2030-01-07 00:00", True),
        ("Sat-Mon 00:00-24:00", "2030-01-08 00:00", False),
        ("22:00-06:00", "2030-01-02 23:00", True),
        ("22:00-06:00", "2030-01-02 05:59", True),
        ("22:00-06:00", "2030-01-02 06:00", False),
        ("Fri 22:00-06:00", "2030-01-05 05:00", True),
        ("Fri 22:00-06:00", "2030-01-04 05:00", False),
        ("Sun 22:00-06:00", "2030-01-07 05:00", True),
        ("18:00-00:00", "2030-01-02 23:59", True),
        ("09:00-10:00 Europe/Berlin", "2030-01-02 08:30", True),
        ("09:00-10:00 Europe/Berlin", "2030-07-02 08:30", False),
        ("09:00-10:00 Europe/Berlin", "2030-07-02 07:30", True),
        ("Tue 23:00-24:00 America/New_York", "2030-01-02 04:30", True),
    ],
)
def test_a_window_is_read_by_the_clock_of_its_place(hours: str, moment: str, holds: bool) -> None:
    assert window(hours, "UTC").contains(at(moment)) == holds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "Mon",
            "8:00-9:00",
            "08:00",
            "08:00-08:00",
            "24:00-01:00",
            "08:60-09:00",
            "08:00-24:01",
            "Foo 08:00-09:00",
        ),
        *("Mon- 08:00-09:00", "Mon-Fri-Sat 08:00-09:00", "Mon 08:00-09:00 Europe", "Mon 08:00-09:00 ../etc/passwd"),
        *("Mon 08:00-09:00 UTC UTC", "Mon  08:00-09:00", "08:00-09:00\n", "０８:00-09:00"),  # noqa: RUF001
    ],
)
def test_what_names_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        window(text, "UTC")


def test_hours_are_compared_on_one_clock_only() -> None:
    office, berlin = window("Mon-Fri 08:00-18:00", "UTC"), window("Tue 09:00-10:00 Europe/Berlin", "UTC")
    assert together_hold([window("Mon-Fri 08:00-12:00", "UTC"), window("12:00-20:00", "UTC")], office)
    assert not together_hold([window("Mon-Fri 08:00-12:00", "UTC")], office)
    assert not together_hold([office], berlin)
