"""Faults that tests inject into API calls."""

import asyncio
from collections.abc import Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stripe_simulator.forms import Form
from stripe_simulator.rate_limits import Reason


class FaultKind(StrEnum):
    """Kind of fault. "Before": the call changes nothing. "After": the call takes effect and its response is lost.

    While a call is held or delayed before its effect, its idempotency key is in progress. After the effect the response
    is saved already, and a retry with the same key gets it.
    """

    RATE_LIMIT = "rate_limit"  # 429 with the header `Stripe-Rate-Limited-Reason`, not saved
    LOCK_TIMEOUT = "lock_timeout"  # 429 for a locked object, not saved
    UNAUTHORIZED = "unauthorized"  # 401, as for a revoked key
    FORBIDDEN = "forbidden"  # 403, as for a restricted key
    KEY_IN_USE = "key_in_use"  # 409, as while another request with the same key is in progress
    KEY_MISMATCH = "key_mismatch"  # 400 idempotency_error, as for a key used with other parameters
    ERROR_UNSAVED = "error_unsaved"  # 500, not saved: a retry with the same key executes
    ERROR_BEFORE = "error_before"  # 500, saved: a retry with the same key gets the 500 again
    ERROR_AFTER = "error_after"  # 500, saved: a retry with the same key gets the 500 again
    RESET_BEFORE = "reset_before"  # connection reset
    RESET_AFTER = "reset_after"  # connection reset: a retry with the same key gets the response
    LATENCY_BEFORE = "latency_before"
    LATENCY_AFTER = "latency_after"
    HOLD_BEFORE = "hold_before"  # waits until released
    HOLD_AFTER = "hold_after"
    PROXY_ERROR_BEFORE = "proxy_error_before"  # 503 in HTML from a proxy
    PROXY_ERROR_AFTER = "proxy_error_after"
    NOT_JSON_AFTER = "not_json_after"  # 200 with HTML
    FOREIGN_JSON_AFTER = "foreign_json_after"  # 200 with JSON that is no Stripe object
    CUT_BODY_AFTER = "cut_body_after"  # the connection closes in the middle of the body
    SLOW_BODY_AFTER = "slow_body_after"  # the second half of the body is `seconds` late


class FaultRule(BaseModel):
    """Selection of requests and the fault that they meet.

    `path` is a glob such as `/v1/payment_intents/*/confirm`. The first `skip` matching requests pass, the next `count`
    meet the fault; without a count all of them do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    method: str = "*"
    path: str = "*"
    params: dict[str, str] = {}
    """Required top-level parameters, as sent in the form or the query."""
    count: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    first_only: bool = False
    """Ignore requests that repeat the idempotency key of an earlier one."""
    seconds: float = Field(default=0.0, ge=0)
    retry_after: int | None = None
    reason: Reason = "endpoint-rate"
    """The limit that a 429 names."""


class Fault:
    """An active rule with its counters. Holds requests until it is released."""

    def __init__(self, fault_id: str, rule: FaultRule) -> None:
        self.id = fault_id
        self.rule = rule
        self.seen = 0
        self.hits = 0
        self.holding = 0
        self._released = asyncio.Event()
        self._changed = asyncio.Condition()

    def matches(self, method: str, path: str, form: Form, *, new_key: bool) -> bool:
        """Count a request and return true if it meets this fault. `new_key`: its idempotency key is new."""
        rule = self.rule
        if rule.first_only and not new_key:
            return False
        if not (fnmatchcase(method, rule.method) and fnmatchcase(path, rule.path)):
            return False
        if any(form.get(name) != value for name, value in rule.params.items()):
            return False
        self.seen += 1
        hit = self.seen > rule.skip and (rule.count is None or self.hits < rule.count)
        self.hits += hit
        return hit

    async def hold(self) -> None:
        """Wait until the fault is released."""
        self.holding += 1
        async with self._changed:
            self._changed.notify_all()
        try:
            await self._released.wait()
        finally:
            self.holding -= 1

    async def wait_for_held(self, holding: int) -> None:
        """Wait until at least this many requests are held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.holding >= holding)

    def release(self) -> None:
        """Release all held requests, and hold none from now on."""
        self._released.set()

    def to_dict(self) -> dict[str, Any]:
        """Return the rule and its counters for the control API."""
        counters = {"id": self.id, "seen": self.seen, "hits": self.hits, "holding": self.holding}
        return counters | self.rule.model_dump(mode="json")


class Faults:
    """The active faults, oldest first. A request meets at most one."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._created = 0

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults.values())

    def add(self, rule: FaultRule) -> Fault:
        """Add a fault."""
        self._created += 1
        fault = Fault(f"fault_{self._created}", rule)
        self._faults[fault.id] = fault
        return fault

    def get(self, fault_id: str) -> Fault:
        """Return a fault. Raises KeyError."""
        return self._faults[fault_id]

    def remove(self, fault_id: str) -> None:
        """Remove a fault and release the requests that it holds. Raises KeyError."""
        self._faults.pop(fault_id).release()

    def clear(self) -> None:
        """Remove all faults and release all held requests."""
        for fault_id in list(self._faults):
            self.remove(fault_id)

    def find_for(self, method: str, path: str, form: Form, *, new_key: bool) -> Fault | None:
        """Return the fault that a request meets, if any."""
        return next((fault for fault in self if fault.matches(method, path, form, new_key=new_key)), None)
