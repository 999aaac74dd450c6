"""Kamailio as the carrier of a browser's calls: it redirects them, asks who calls, and has too much to do at times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.browser import ScriptedBrowser
from tests.rig.gateway import GatewayProcess, GatewaySetup, Record
from tests.rig.kamailio_carrier import PASSWORD, PROXY_REALM, RETRY_AFTER, USER, KamailioCarrier
from tests.rig.ports import free_port
from tests.rig.tools import needs
from tests.rig.trunk import FakeTrunk, description

pytestmark = [pytest.mark.interop, needs("kamailio")]
slow = pytest.mark.slow

FIRST, SECOND, PHONE = "127.0.5.1", "127.0.5.2", "127.0.5.3"
OPEN, OVER_TCP, OF_ONE_REALM, FORGETFUL, PAIR = "7", "6", "8", "9", "5"
"""First digits, and what they choose: a trunk that answers every realm, the same over TCP, one whose password is for
one realm, one with a wrong password, one with both servers."""


class CarrierStand:
    """A gateway, two Kamailios, and the telephone both lead to."""

    def __init__(self, directory: Path) -> None:
        port = free_port(host=PHONE)
        self.phone = FakeTrunk(PHONE, port, lambda _request: [(180, b""), (200, description(PHONE))]).start()
        phone = f"{PHONE}:{port}"
        self.second = KamailioCarrier(directory / "second", SECOND, phone=phone, algorithm="SHA-256").start()
        self.first = KamailioCarrier(
            directory / "first", FIRST, phone=phone, next_server=f"{SECOND}:{self.second.port}"
        ).start()
        self.gateway = GatewayProcess(self._setup(directory / "gateway")).start()
        self.loop = asyncio.Runner()

    def _setup(self, directory: Path) -> GatewaySetup:
        login = {"user": USER, "password": PASSWORD}
        only = {"target": self.first.target, "security": "legacy"}
        both = [{"target": s.target, "priority": n} for n, s in enumerate((self.first, self.second))]
        trunks: dict[str, dict[str, object]] = {
            OPEN: {**only, "auth": login, "networks": ["127.0.5.0/24"]},
            OVER_TCP: {**only, "target": f"{self.first.target};transport=tcp", "auth": login},
            OF_ONE_REALM: {**only, "auth": {**login, "realm": PROXY_REALM}},
            FORGETFUL: {**only, "auth": {**login, "password": "canary-carrier-guess"}},
            PAIR: {"targets": both, "security": "legacy", "auth": login},
        }
        outbound = [{"id": f"to-{d}", "dialled": f"{d}*", "trunk": f"trunk{d}"} for d in trunks]
        return GatewaySetup(directory, trunks={f"trunk{d}": t for d, t in trunks.items()}, outbound=outbound)

    def stop(self) -> None:
        assert self.gateway.stop() == 0
        self.loop.close()
        for kamailio in (self.first, self.second):
            kamailio.stop()
        self.phone.stop()
        assert "Traceback" not in self.gateway.log

    def calls(self, number: str) -> tuple[int, Record]:
        """A browser dials, and hangs up if it is answered: the status it heard, and the final record."""

        async def play() -> int:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                call = await browser.invite(number)
                response = await call.final()
                if response.status == 200:
                    await call.media.connected()
                    await call.hang_up()
                return response.status
            finally:
                await browser.close()

        status = self.loop.run(play())
        uid = str(self.gateway.records("call.start")[-1]["call_uid"])
        return status, self.gateway.final(uid)

    def answered(self, number: str) -> None:
        """It is answered by the telephone, which hears the BYE."""
        ended = self.phone.methods().count("BYE")
        status, final = self.calls(number)
        assert (status, final["termination"]) == (200, "hangup-browser")
        deadline = time.monotonic() + 5
        while self.phone.methods().count("BYE") == ended:
            assert time.monotonic() < deadline, "the telephone never heard the BYE"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarrierStand]:
    made = CarrierStand(tmp_path_factory.mktemp("carrier"))
    yield made
    made.stop()


def test_a_call_that_is_sent_on_and_asked_who_it_is_there_is_answered(carrier: CarrierStand) -> None:
    carrier.answered(f"{OPEN}18")
    assert len(carrier.first.asked(f"{OPEN}18")) == 1
    first, second = carrier.first.asked(f"{OPEN}21")
    assert "asked 0 0" in first
    assert "asked 1 0" in second
    assert PASSWORD not in carrier.gateway.log


# Redirections


@slow
@pytest.mark.parametrize("behaviour", ["11", "12", "13"])
def test_a_redirection_within_the_carrier_is_followed_by_its_q_values(carrier: CarrierStand, behaviour: str) -> None:
    others = f"{OPEN}01", f"{OPEN}15"
    before = [len(carrier.first.asked(number)) for number in others]
    carrier.answered(f"{OPEN}{behaviour}")
    assert len(carrier.first.asked(f"{OPEN}{behaviour}")) == 1
    most_wanted = 1 if behaviour == "12" else 0
    after = [len(carrier.first.asked(number)) for number in others]
    assert [n - m for n, m in zip(after, before, strict=True)] == [most_wanted, 0]


@slow
@pytest.mark.parametrize("behaviour", ["14", "15", "16"])
def test_a_redirection_out_of_the_carrier_is_not_followed(carrier: CarrierStand, behaviour: str) -> None:
    before = len(carrier.phone.seen)
    status, final = carrier.calls(f"{OPEN}{behaviour}")
    assert (status, final["termination"]) == (480, "redirect-refused")
    assert len(carrier.first.asked(f"{OPEN}{behaviour}")) == 1
    assert len(carrier.phone.seen) == before


@slow
def test_a_carrier_that_only_ever_sends_on_is_left_after_the_fifth_time(carrier: CarrierStand) -> None:
    status, final = carrier.calls(f"{OPEN}17")
    assert (status, final["termination"]) == (480, "redirect-refused")
    asked = carrier.first.asked(f"{OPEN}17")
    assert len(asked) == 6
    assert len({line.split(" call ")[1].split()[0] for line in asked}) == 1
    numbers = [int(line.split(" cseq ")[1].split()[0]) for line in asked]
    assert numbers == sorted(set(numbers))


# Challenges


@slow
@pytest.mark.parametrize("digit", [OPEN, OVER_TCP, OF_ONE_REALM])
def test_a_challenge_of_a_proxy_is_answered_once(carrier: CarrierStand, digit: str) -> None:
    before = len(carrier.first.asked(f"{digit}21"))
    carrier.answered(f"{digit}21")
    first, second = carrier.first.asked(f"{digit}21")[before:]
    assert ("asked 0 0" in first, "asked 1 0" in second) == (True, True)


@slow
def test_a_challenge_of_a_server_is_answered_once(carrier: CarrierStand) -> None:
    carrier.answered(f"{OPEN}23")
    first, second = carrier.first.asked(f"{OPEN}23")
    assert ("asked 0 0" in first, "asked 0 1" in second) == (True, True)


@slow
def test_a_password_for_one_realm_answers_none_of_another_beside_it(carrier: CarrierStand) -> None:
    carrier.answered(f"{OF_ONE_REALM}22")
    assert ["asked 1 0" in line for line in carrier.first.asked(f"{OF_ONE_REALM}22")] == [False, True]


@slow
def test_a_password_for_any_realm_answers_each_that_asks(carrier: CarrierStand) -> None:
    carrier.answered(f"{OPEN}22")
    assert "asked 2 0" in carrier.first.asked(f"{OPEN}22")[-1]


@slow
def test_a_proxy_and_the_server_behind_it_each_get_what_they_asked_for(carrier: CarrierStand) -> None:
    carrier.answered(f"{OPEN}24")
    assert ["asked 1 1" in line for line in carrier.first.asked(f"{OPEN}24")] == [False, False, True]
    assert ["asked 0 1" in line for line in carrier.second.asked(f"{OPEN}23")] == [False, True]


@slow
def test_a_server_behind_the_proxy_gets_no_password_that_is_the_proxys(carrier: CarrierStand) -> None:
    status, final = carrier.calls(f"{OF_ONE_REALM}24")
    assert (status, final["termination"]) == (502, "trunk-login")
    assert all("asked 0 0" in line for line in carrier.second.asked(f"{OF_ONE_REALM}23"))


@slow
def test_a_wrong_password_is_tried_once_for_a_call(carrier: CarrierStand) -> None:
    status, final = carrier.calls(f"{FORGETFUL}21")
    assert (status, final["termination"]) == (502, "trunk-login")
    assert len(carrier.first.asked(f"{FORGETFUL}21")) == 2


@slow
def test_a_challenged_bye_is_answered_too(carrier: CarrierStand) -> None:
    carrier.answered(f"{OPEN}26")
    asked = [line.split(" asked ")[1] for line in carrier.first.log.splitlines() if " IN BYE " in line]
    assert asked[-2:] == ["0 0 busy 0", "1 0 busy 0"]


# Too much to do


@slow
@pytest.mark.parametrize("behaviour", ["00", "21", "13"])
def test_a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_wants_and_called_again(
    carrier: CarrierStand, behaviour: str
) -> None:
    number = f"{PAIR}{behaviour}"

    def at_each() -> tuple[int, int]:
        return len(carrier.first.asked(number)), len(carrier.second.asked(number))

    carrier.answered(number)
    well, none = at_each()
    assert (well > 0, none) == (True, 0)
    carrier.first.has_too_much_to_do(True)
    began = time.monotonic()
    try:
        carrier.answered(number)
        assert at_each() == (well + 1, well)
        carrier.answered(number)
        assert time.monotonic() < began + RETRY_AFTER, "too slow to tell"
        assert at_each() == (well + 1, 2 * well)
    finally:
        carrier.first.has_too_much_to_do(False)
    time.sleep(max(0.0, began + RETRY_AFTER + 1 - time.monotonic()))
    carrier.answered(number)
    assert at_each() == (2 * well + 1, 2 * well)
    assert f"asks for no calls for {RETRY_AFTER} s" in carrier.gateway.log


@slow
def test_a_carrier_of_which_every_server_has_too_much_to_do_says_so_to_the_caller(carrier: CarrierStand) -> None:
    for kamailio in (carrier.first, carrier.second):
        kamailio.has_too_much_to_do(True)
    try:
        status, final = carrier.calls(f"{PAIR}00")
        assert (status, final["termination"]) == (503, "trunk-unavailable")
    finally:
        for kamailio in (carrier.first, carrier.second):
            kamailio.has_too_much_to_do(False)
    time.sleep(RETRY_AFTER + 1)
    carrier.answered(f"{PAIR}00")
