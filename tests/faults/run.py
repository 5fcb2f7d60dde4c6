"""One run: buyers under faults, then quiet, then the checker until it finds nothing or the time is over."""

import asyncio
import itertools
import math
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from .audit import audit_findings
from .buyers import Buyer, complete
from .checker import PAYABLE, Checker, Finding
from .faults import Fault
from .faulty_system import FaultySystem, faulty_system
from .history import BuyerHistory, Granted, History
from .network_faults import network_faults
from .plan import Plan, buyer_plan
from .process_faults import process_faults, wipe
from .schedule import Schedule
from .state import ATTEMPT_ID_KEY, State, read_state
from .stripe_faults import stripe_faults

_LONGEST_SEARCH: Final = 20
"""Checkouts may become this many times as many as planned, until each fault has struck."""
_SPARED: Final = 2
"""Pause after a reading, in times that it took: listing thousands of intents keeps the simulator from reconcilers."""
_FOREIGN: Final = 4
_EMPTY: Final[dict[str, str]] = {}


@dataclass
class Result:
    """The outcome of a run."""

    plan: Plan
    history: History
    state: State = field(default_factory=State)
    findings: list[Finding] = field(default_factory=list)
    struck: dict[str, int] = field(default_factory=dict)
    """Number of hits of each fault."""
    missing: list[str] = field(default_factory=list)
    """Faults that never struck."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """True if no promise is broken, no answer was wrong, and each fault has struck."""
        return not (self.findings or self.history.wrong_answers or self.missing)


async def run(folder: Path, plan: Plan, report: Callable[[str], None]) -> Result:
    """Carry a plan out in a folder of its own."""
    began, result = time.monotonic(), Result(plan, History())
    async with faulty_system(folder, plan) as faulty:
        report(f"the system runs after {time.monotonic() - began:.1f} s")
        await _Run(faulty, result, report).carry_out()
    result.seconds = time.monotonic() - began
    return result


class _Run:
    """The steps of a run."""

    def __init__(self, faulty: FaultySystem, result: Result, report: Callable[[str], None]) -> None:
        self._faulty, self._result, self._report = faulty, result, report
        self._plan, self._history = result.plan, result.history
        self._schedule = Schedule(_chosen_faults(faulty), self._plan.seed, report, once=self._plan.quick)
        self._begun = 0

    async def carry_out(self) -> None:
        """Buy under faults, wait until everything is resolved, and judge."""
        if not self._plan.webhooks:
            await self._faulty.control_api.add_webhook_rule(drop=True)
        await self._make_foreign_intents()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._schedule.run())
            await self._serve_all_buyers()
            self._schedule.stop()
        self._result.struck = dict(self._schedule.struck)
        self._result.missing = self._schedule.missing
        self._report(f"{self._begun} buyers are served; nothing strikes any more")
        await self._faulty.control_api.release_deliveries()
        self._result.findings = await self._resolve()
        self._result.findings += await audit_findings(self._faulty.system.backend)

    async def _serve_all_buyers(self) -> None:
        numbers = self._numbers()
        async with asyncio.TaskGroup() as buyers:
            for _ in range(self._plan.at_once):
                buyers.create_task(self._serve_buyers(numbers))

    def _numbers(self) -> Iterator[int]:
        """Count buyers: as many as planned, and more until each fault has struck."""
        for number in itertools.count(1):
            enough = number > self._plan.checkouts and not self._schedule.missing
            if enough or number > self._plan.checkouts * _LONGEST_SEARCH:
                return
            yield number

    async def _serve_buyers(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            self._begun += 1
            if self._plan.wipe and number == self._plan.checkouts // 2:
                await wipe(self._faulty, self._history)
                self._report("Redis lost everything")
            buyer = BuyerHistory(buyer_plan(self._plan, number))
            self._history.buyers.append(buyer)
            await Buyer(self._faulty, self._history, buyer).run()

    async def _make_foreign_intents(self) -> None:
        """Let another application on the Stripe account take payments, some of which look like ours."""
        rng = random.Random(self._plan.seed)  # noqa: S311 - repeatable choices
        intents = self._faulty.system.stripe.v1.payment_intents
        for number in range(_FOREIGN):
            looks_like_ours = {ATTEMPT_ID_KEY: str(uuid.UUID(int=rng.getrandbits(128), version=4))}
            made = await intents.create_async(
                {"amount": 777, "currency": "usd", "metadata": looks_like_ours if number % 2 else _EMPTY}
            )
            if number < _FOREIGN // 2:
                await self._faulty.control_api.pay(made.id)
                self._history.foreign_paid.add(made.id)
            else:
                self._history.foreign_payable.add(made.id)

    async def _resolve(self) -> list[Finding]:
        """Judge until nothing is wrong, or until everything should be resolved and nothing more is."""
        wait = self._plan.pay_by_seconds + 2 * self._plan.skew_seconds + self._plan.grace_seconds
        ended = time.monotonic()
        deadline, fewest = ended + wait, math.inf
        while True:
            began = time.monotonic()
            state = self._result.state = await read_state(self._faulty.system)
            findings = Checker(state, self._history, self._plan).findings()
            if len(findings) < fewest:
                now = time.monotonic()
                allowed = self._plan.grace_seconds + 2 * _SPARED * (now - began)
                fewest, deadline = len(findings), max(deadline, now + allowed)
            if not findings or time.monotonic() > deadline:
                return findings
            self._report(f"{len(findings)} unresolved after {began - ended:.0f} s, such as {findings[0]}")
            await self._settle_debits(state)
            if not self._plan.reconcilers and self._plan.browsers:
                await self._meet(state)
            await asyncio.sleep(max(1.0, _SPARED * (time.monotonic() - began)))

    async def _settle_debits(self, state: State) -> None:
        for intent in state.intents.values():
            if intent.status == "processing":
                await self._faulty.control_api.settle_debit(intent.id)

    async def _meet(self, state: State) -> None:
        """Let buyers come back to what is not resolved, since nobody else looks at it."""
        decided = {each.intent_id for each in state.decisions}
        decided -= {each.intent_id for each in state.subscriptions if each.status == "pending"}
        granted = {each.intent_id: each for each in self._history.granted}
        users = {each.intent_id: buyer.plan.user_id for buyer in self._history.buyers for each in buyer.granted}
        for intent_id, checkout in granted.items():
            intent = state.intents[intent_id]
            unresolved = intent.status in PAYABLE or checkout.attempt_id in state.contents
            if unresolved or (intent.status == "succeeded" and intent_id not in decided):
                await self._come_back(checkout, users[intent_id], paid=intent.status == "succeeded")

    async def _come_back(self, checkout: Granted, user_id: str | None, *, paid: bool) -> None:
        async with self._faulty.system.shop(user_id=user_id) as shop:
            try:
                await (complete(shop, checkout) if paid else shop.status(checkout.attempt_id))
            except (aiohttp.ClientError, TimeoutError):
                return  # it comes back again


def _chosen_faults(faulty: FaultySystem) -> list[Fault]:
    """Return the faults of the plan; in the short form one of each lane, which the seed chooses."""
    plan = faulty.plan
    faults: list[Fault] = [*process_faults(faulty), *network_faults(faulty), *stripe_faults(faulty)]
    if plan.only:
        return [fault for fault in faults if fault.name in plan.only]
    if not plan.quick:
        return faults
    rng = random.Random(f"{plan.seed}:quick")  # noqa: S311 - repeatable choices
    lanes = {lane: [each for each in faults if each.lane == lane and not each.slow] for lane in _lanes(faults)}
    return [rng.choice(choice) for choice in lanes.values()]


def _lanes(faults: list[Fault]) -> list[str]:
    return sorted({fault.lane for fault in faults})
