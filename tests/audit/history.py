"""Logs as a gateway writes them, by the real builders and the real log: calls of every kind, when a test says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.audit import notices, record
from gateway.audit.facts import CallInfo, Checkpoint
from gateway.audit.final import call_final
from gateway.audit.heartbeat import HEARTBEAT_SECONDS
from gateway.audit.log import FILE_NAME
from gateway.base.codes import Code
from gateway.base.crypto_suite import AEAD_AES_256_GCM
from gateway.base.keying import Keying, Proto
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, HostPort, LegId
from gateway.policy.evaluate import judge, judge_change
from gateway.policy.model import EffectivePolicy, effective_policy
from gateway.policy.offering import OfferPlan, Refusal, plan_offer
from gateway.policy.posture import CallPosture, SecurityVector
from tests.audit.audit_bench import AuditBench
from tests.policy.vectors import SIGNALLING, browser, trunk

BEGIN = datetime(2026, 11, 1, 8, tzinfo=UTC)
TRUNK_LEG = LegId(2)
SOURCE = HostPort("192.0.2.10", 5061)


class History:
    """Writes calls into a log. Every step lets time pass; the log is as a gateway would have left it."""

    def __init__(self, directory: Path, begin: datetime = BEGIN, **settings: Any) -> None:
        self.bench = AuditBench(directory, buffer_octets=1 << 20, **settings)
        self.bench.clock.set_back(round(self.bench.clock.wall() - begin.timestamp()))
        self.bench.log.open()
        self.path = directory / FILE_NAME
        self._numbers = itertools.count(1)
        self.write(notices.gateway_started("0.1.0"))

    def write(self, made: dict[str, object]) -> None:
        assert self.bench.write(made)

    def wait(self, seconds: int) -> None:
        """Let time pass as the gateway lives it, with its heartbeats."""
        while seconds > 0:
            self.bench.clock.seconds += min(seconds, HEARTBEAT_SECONDS)
            seconds -= HEARTBEAT_SECONDS
            self.bench.log.watch()

    def until(self, at: datetime) -> None:
        """Let time pass until then, without a word."""
        self.bench.clock.seconds += round(at.timestamp() - self.bench.clock.wall())

    def stop(self) -> Path:
        """End the gateway; the directory of the log."""
        self.write(notices.gateway_stopped("SIGTERM", all_ended=True))
        return self.leave()

    def leave(self) -> Path:
        """Look at the log of a gateway that runs on; its directory."""
        self.bench.log.close()
        return self.bench.directory

    # --- calls, each with its id

    def secured(self, seconds: int = 30, **facts: Any) -> str:
        """Both legs encrypted and verified."""
        call = _Talk(self, Profile.STRICT, **{"trunk": "pbx", **facts})
        call.answered(trunk("sdes", suite=AEAD_AES_256_GCM))
        return call.end(seconds)

    def plain(self, seconds: int = 20, **facts: Any) -> str:
        """The carrier refused encryption; it was tried again without."""
        call = _Talk(self, Profile.PREFER, **{"trunk": "carrier", **facts})
        retry = OfferPlan(Proto.AVP, codes=frozenset({Code.MEDIA_SAVP_RETRY}))
        self.write(record.offer_retry(call.info, call.policy, retry, leg_id=TRUNK_LEG, refused_status=488))
        call.answered(trunk("plain", "udp"))
        return call.end(seconds)

    def exposed(self, seconds: int = 10, **facts: Any) -> str:
        """Encrypted by a key that was sent in the open."""
        call = _Talk(self, Profile.PREFER, **{"trunk": "carrier", **facts})
        call.answered(trunk("sdes", "udp"))
        return call.end(seconds)

    def removed(self, seconds: int = 40, **facts: Any) -> str:
        """Half way the other side drops the encryption, and policy lets it."""
        call = _Talk(self, Profile.PREFER, **{"trunk": "carrier", **facts})
        secured, plain = trunk("sdes"), trunk("plain")
        call.answered(secured)
        self.wait(seconds // 2)
        call.judged(plain, Checkpoint.CHANGE, before=secured)
        return call.end(seconds - seconds // 2)

    def held_fast(self, seconds: int = 40, **facts: Any) -> str:
        """Half way the other side tries to drop the encryption, and policy refuses that."""
        call = _Talk(self, Profile.STRICT, **{"trunk": "pbx", **facts})
        secured, plain = trunk("sdes"), trunk("plain")
        call.answered(secured)
        self.wait(seconds // 2)
        verdict = judge_change(call.policy, secured, plain)
        self.write(
            record.leg_record(
                call.info,
                call.policy,
                verdict,
                plain,
                leg_id=TRUNK_LEG,
                checkpoint=Checkpoint.CHANGE,
                before=secured,
                sip_status=488,
            )
        )
        return call.end(seconds - seconds // 2)

    def refused(self, **facts: Any) -> str:
        """Policy demands what the trunk's signalling cannot protect."""
        call = _Talk(self, Profile.STRICT, **{"trunk": "carrier", **facts})
        plan = plan_offer(call.policy, SIGNALLING["udp"])
        assert isinstance(plan, Refusal)
        self.write(
            record.offer_refused(
                call.info, call.policy, plan, leg="trunk", leg_id=TRUNK_LEG, checkpoint=Checkpoint.BEFORE_OFFER
            )
        )
        return call.end(0, Termination.ENCRYPTION_IMPOSSIBLE)

    def missed(self, **facts: Any) -> str:
        """Nobody answers."""
        call = _Talk(self, Profile.STRICT, **{"trunk": "pbx", **facts})
        self.wait(20)
        return call.end(0, Termination.RING_TIMEOUT)

    def left_open(self, **facts: Any) -> str:
        """A call that goes on."""
        call = _Talk(self, Profile.STRICT, **{"trunk": "pbx", **facts})
        call.answered(trunk("sdes"))
        return call.info.call_uid

    @property
    def kinds(self) -> tuple[Callable[..., str], ...]:
        """Every kind of call that ends."""
        return (self.secured, self.plain, self.exposed, self.removed, self.held_fast, self.refused, self.missed)

    def some_calls(self, count: int = 7) -> list[str]:
        """So many calls, of one kind after the other, a minute apart."""
        made = []
        for _, kind in zip(range(count), itertools.cycle(self.kinds), strict=False):
            made.append(kind())
            self.wait(60)
        return made

    def new_uid(self) -> str:
        return f"{next(self._numbers):08x}{'0' * 8}"


class _Talk:
    """One call on its way into the log."""

    def __init__(self, history: History, profile: Profile, **facts: Any) -> None:
        self._history = history
        settings = {"direction": "out", "user": "alice", "caller": "alice", "called": "+4930123456", **facts}
        uid = history.new_uid()
        self.info = CallInfo(call_uid=uid, browser_call_id=f"{uid}@browser", trunk_call_id=f"{uid}@trunk", **settings)
        self.policy: EffectivePolicy = effective_policy(profile, self.info.trunk)
        self._posture = CallPosture()
        self._answered = 0
        history.write(
            record.call_start(self.info, self.policy, source=SOURCE, transport="wss", dialled=self.info.called)
        )
        history.wait(2)

    def answered(self, far: SecurityVector) -> None:
        """The other side is judged at its answer, the browser once it has keys."""
        self.judged(far, Checkpoint.ANSWER)
        pending = browser(keying=Keying.PENDING)
        self._written(CALLER, pending, Checkpoint.ANSWER)
        self._history.wait(1)
        self.judged(browser(), Checkpoint.KEYED, leg=CALLER)
        self._posture.mark_answered()
        self._answered = self._history.bench.clock.seconds
        if far.keying is not Keying.NONE:
            self._history.write(record.leg_verified(self.info, self.policy, far, leg_id=TRUNK_LEG, confirmed=True))

    def judged(
        self,
        vector: SecurityVector,
        checkpoint: Checkpoint,
        *,
        leg: LegId = TRUNK_LEG,
        before: SecurityVector | None = None,
    ) -> None:
        self._posture.update(leg, vector)
        self._written(leg, vector, checkpoint, before)

    def _written(
        self, leg: LegId, vector: SecurityVector, checkpoint: Checkpoint, before: SecurityVector | None = None
    ) -> None:
        verdict = judge(self.policy, vector) if before is None else judge_change(self.policy, before, vector)
        self._history.write(
            record.leg_record(
                self.info, self.policy, verdict, vector, leg_id=leg, checkpoint=checkpoint, before=before, source=SOURCE
            )
        )

    def end(self, seconds: int, why: Termination = Termination.HANGUP_BROWSER) -> str:
        """Hang up; `seconds` pass first. The id of the call."""
        self._history.wait(seconds)
        lasted = self._history.bench.clock.seconds - self._answered
        self._history.write(
            call_final(
                self.info,
                self.policy,
                self._posture,
                why,
                duration=lasted if self._posture.at_answer is not None else 0,
                codecs=["opus", "PCMA"],
                codec="PCMA/8000",
                grade_refused="KEY_EXPOSED" if why is Termination.ENCRYPTION_IMPOSSIBLE else "",
            )
        )
        return self.info.call_uid
