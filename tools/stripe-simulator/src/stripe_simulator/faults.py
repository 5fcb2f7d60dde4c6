"""Bad luck on request: what goes wrong with API calls, where, and how often."""

import asyncio
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stripe_simulator.forms import Form


class FaultKind(Enum):
    """What happens. "Before" means nothing was changed; "after" means the call took effect and only its answer is lost.

    A request that is held or slowed before its effect has its idempotency key in progress; after it, the answer is
    saved already and a retry with the same key gets it.
    """

    RATE_LIMIT = "rate_limit"  # 429, nothing done, nothing saved
    LOCK_TIMEOUT = "lock_timeout"  # 429 for a busy object, nothing done, nothing saved
    UNAUTHORIZED = "unauthorized"  # 401, as for a key that was revoked
    FORBIDDEN = "forbidden"  # 403, as for a restricted key
    KEY_IN_USE = "key_in_use"  # 409, as while another request with the same key is executed
    KEY_MISMATCH = "key_mismatch"  # 400 idempotency_error, as for a key that was used with other parameters
    ERROR_UNSAVED = "error_unsaved"  # 500, nothing done, nothing saved: a retry with the same key executes
    ERROR_BEFORE = "error_before"  # 500, nothing done, saved: a retry with the same key gets the 500 again
    ERROR_AFTER = "error_after"  # 500, done and saved: a retry with the same key gets the 500 again
    RESET_BEFORE = "reset_before"  # connection reset, nothing done
    RESET_AFTER = "reset_after"  # connection reset, done: a retry with the same key gets the answer
    LATENCY_BEFORE = "latency_before"
    LATENCY_AFTER = "latency_after"
    HOLD_BEFORE = "hold_before"  # waits until released
    HOLD_AFTER = "hold_after"
    PROXY_ERROR_BEFORE = "proxy_error_before"  # 503 in HTML from something in between, nothing done
    PROXY_ERROR_AFTER = "proxy_error_after"  # the same, done
    NOT_JSON_AFTER = "not_json_after"  # 200 with a body that is no JSON, done
    FOREIGN_JSON_AFTER = "foreign_json_after"  # 200 with JSON that is none of Stripe's objects, done
    CUT_BODY_AFTER = "cut_body_after"  # the answer breaks off in the middle of its body, done
    SLOW_BODY_AFTER = "slow_body_after"  # the second half of the body comes `seconds` late, done


class FaultRule(BaseModel):
    """Which requests are hit, by what, and how often.

    `path` is a glob such as `/v1/payment_intents/*/confirm`. The first `skip` matching requests pass unharmed, then
    `count` are hit; without a count all of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    method: str = "*"
    path: str = "*"
    params: dict[str, str] = {}
    """Only requests with these parameters, as sent, at the top level of their form or query."""
    count: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    first_only: bool = False
    """Only requests whose idempotency key is new: what repeats an earlier request, or runs into it, is not counted."""
    seconds: float = Field(default=0.0, ge=0)
    retry_after: int | None = None


class Fault:
    """A rule at work: counts its hits and holds requests until they are released."""

    def __init__(self, fault_id: str, rule: FaultRule) -> None:
        self.id = fault_id
        self.rule = rule
        self.seen = 0
        self.hits = 0
        self.holding = 0
        self._released = asyncio.Event()
        self._changed = asyncio.Condition()

    def matches(self, method: str, path: str, form: Form, *, first: bool) -> bool:
        """Count a request; tell whether this fault strikes it. `first` says whether its idempotency key is new."""
        rule = self.rule
        if rule.first_only and not first:
            return False
        if not (fnmatchcase(method, rule.method) and fnmatchcase(path, rule.path)):
            return False
        if any(form.get(name) != value for name, value in rule.params.items()):
            return False
        self.seen += 1
        struck = self.seen > rule.skip and (rule.count is None or self.hits < rule.count)
        self.hits += struck
        return struck

    async def hold(self) -> None:
        """Wait until the fault is released."""
        self.holding += 1
        await self._tell()
        try:
            await self._released.wait()
        finally:
            self.holding -= 1

    async def wait_for_held(self, holding: int) -> None:
        """Wait until at least so many requests are held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.holding >= holding)

    def release(self) -> None:
        """Let everything that is held go on; later requests pass too."""
        self._released.set()

    def to_dict(self) -> dict[str, Any]:
        """Answer rule and counters for the knob API."""
        counters = {"id": self.id, "seen": self.seen, "hits": self.hits, "holding": self.holding}
        return counters | self.rule.model_dump(mode="json")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Faults:
    """The faults that are set, oldest first. At most one strikes a request."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._made = 0

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults.values())

    def add(self, rule: FaultRule) -> Fault:
        """Set a fault."""
        self._made += 1
        fault = Fault(f"fault_{self._made}", rule)
        self._faults[fault.id] = fault
        return fault

    def get(self, fault_id: str) -> Fault:
        """Answer the fault; KeyError if there is none."""
        return self._faults[fault_id]

    def remove(self, fault_id: str) -> None:
        """Take a fault away and release what it holds; KeyError if there is none."""
        self._faults.pop(fault_id).release()

    def clear(self) -> None:
        """Take all faults away and release what they hold."""
        for fault_id in list(self._faults):
            self.remove(fault_id)

    def next_for(self, method: str, path: str, form: Form, *, first: bool) -> Fault | None:
        """Answer the fault that hits this request, if any."""
        return next((fault for fault in self._faults.values() if fault.matches(method, path, form, first=first)), None)
