"""The call machine while legs come and go: forks, several browsers, transfers, one after the other and on bad days.

Hypothesis plays everybody (`peers`, `steps_calling`, `steps_talking`), a watcher looks at each step (`watch_legs`).
`make test` plays a short form; `make fuzz` plays `STEPS`, and says how many it has played.
"""

from __future__ import annotations

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from gateway.base.termination import Termination
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from tests.call.promise import RULES
from tests.call.steps_talking import Talking
from tests.effort import SEARCHING, examples

STEPS = 100_000
"""Events that `make fuzz` feeds to calls."""


class LegsMachine(Talking):
    """One call; see the module."""

    def teardown(self) -> None:
        """Bring it to its end as the world would: everything we asked is answered. Then nobody may have to wait."""
        if not hasattr(self, "watch"):
            return
        self.feed(events.Lost(Termination.SHUTDOWN))
        self._answer_what_is_looked_up()
        self.watch.ended()
        if self.scene.state.caller.invitation.is_confirmed and self.scene.state.caller.invitation.owes_bye:
            self.feed(events.AckMissing("invite-key"))
        while asked := [sent for sent in self.peers.asked(*Purpose) if sent.ask in self.watch.open]:
            self.feed(self.peers.response(asked[0], 487))
        self.watch.over()

    def _answer_what_is_looked_up(self) -> None:
        """The runner answers at once, whatever has become of the call."""
        if self.peers.looked_up():
            self.feed(events.DialogMissing(481, is_others=False))


class AnyPolicyLegs(LegsMachine):
    """The same under any policy there could be; whoever comes may bring a policy of its own."""

    policies = RULES


def _settings(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=40,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


LegsMachine.TestCase.settings = _settings(examples(200))
test_a_call_keeps_its_promises_whoever_comes_and_goes = LegsMachine.TestCase
AnyPolicyLegs.TestCase.settings = _settings(examples(200))
test_nobody_who_comes_makes_a_call_weaker_than_its_policy_requires = AnyPolicyLegs.TestCase


@pytest.mark.skipif(not SEARCHING, reason="the long form is for `make fuzz`")
@pytest.mark.timeout(3600)
def test_it_keeps_them_for_a_hundred_thousand_steps(
    pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    LegsMachine.played = calls = 0
    while LegsMachine.played < STEPS:
        run_state_machine_as_test(LegsMachine, settings=_settings(200))
        calls += 200
    reporter: TerminalReporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    with capsys.disabled():
        reporter.write_line(f"\nplayed {LegsMachine.played} steps of {calls} calls whose legs come and go")
