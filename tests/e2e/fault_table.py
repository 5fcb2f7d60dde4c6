"""The table of faults: each outgoing call of each scenario, each fault that it can meet, and the required result.

A fault that happens once must heal within the request. One that lasts must be answered, must leave the state that the
table names, and must not harm a client that repeats its request afterwards.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final

from .checkout_scenarios import Begin, BeginAgain, BeginLost, BeginWithNewPrice, ReadOpen, Replace
from .harness.interceptor import Ending, Moment
from .harness.outgoing_calls import OutgoingCall as Call
from .payment_scenarios import ListOrders, ReadCompleted, ReadOrder, Report, ReportLate, Return, ReturnWithoutAttempt
from .refund_scenarios import ReportDispute, ReportRefund, ReportRefundedCharge
from .scenario import ExpectedState, Scenario
from .subscription_checkout_scenarios import (
    BeginFirstSubscription,
    BeginSubscription,
    BeginSubscriptionAgain,
    ReplaceSubscription,
)

BEFORE: Final = Moment.BEFORE_EFFECT
AFTER: Final = Moment.AFTER_EFFECT
_BEYOND_THE_BUDGET_SECONDS: Final = 30
_SLOW_SECONDS: Final = 0.3


@dataclass(frozen=True)
class Answer:
    """The gateway's answer to the client."""

    status: int
    problem: str = ""
    retry_after: str | None = None


OK: Final = Answer(200)
UNAVAILABLE: Final = Answer(503, "temporarily_unavailable", "2")
INTERNAL: Final = Answer(500, "internal")
KEY_REUSED: Final = Answer(409, "idempotency_key_reused")


@dataclass(frozen=True)
class Target:
    """One outgoing call of one scenario, and the state once the gateway gives the request up."""

    scenario: type[Scenario]
    call: Call
    before: ExpectedState
    """When the call never took effect."""
    after: ExpectedState
    """When it took effect and its answer never arrived."""
    skip: int = 0
    """Number of earlier calls of this name."""

    @property
    def name(self) -> str:
        """Scenario and call."""
        return f"{self.scenario.__name__}-{self.call.name}{'-again' if self.skip else ''}"


@dataclass(frozen=True)
class GrpcFault:
    """A fault of a call to a service, injected by a proxy."""

    name: str
    ending: Ending
    moment: Moment
    answer: Answer
    count: int | None = None
    """Number of calls that it hits; None for all."""


@dataclass(frozen=True)
class StripeFault:
    """A fault of a request to Stripe, injected by the simulator."""

    kind: str
    moment: Moment
    answer: Answer
    count: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The kind, with `_once` if it does not last."""
        return f"{self.kind}_once" if self.count else self.kind


FaultKind = GrpcFault | StripeFault


class Queue(Enum):
    """Rows of one queue run one after the other; the rest run concurrently."""

    NONE = auto()
    CUSTOMERS = auto()
    """The request that creates a customer has no parameters."""
    RATE_LIMITED = auto()
    """Stripe slows down the whole gateway; these rows run at the second one."""


@dataclass(frozen=True)
class Row:
    """One fault of one call, and the required result."""

    target: Target
    fault: FaultKind
    answer: Answer
    left: ExpectedState
    """After the answer, while the fault lasts."""
    abandoned: int = 0
    """Intents that stay payable for good, whose secret nobody was given."""
    queue: Queue = Queue.NONE
    only_long: bool = False
    """True for a row of the short kind that another row makes redundant in the short run."""

    @property
    def takes_long(self) -> bool:
        """True if the gateway waits for an answer that does not come."""
        return self.fault.name.startswith(("silent", "hold"))

    @property
    def is_short(self) -> bool:
        """True for the rows of `make test`: for each call one before its effect and one after it."""
        return self.fault.name in _SHORT and not self.only_long

    @property
    def name(self) -> str:
        """Scenario, call and fault."""
        return f"{self.target.name}-{self.fault.name}"


_SHORT: Final = {
    *("breaks_once_before", "breaks_after"),
    *("proxy_error_before_once", "reset_after", "error_after", "error_after_once", "key_mismatch", "rate_limit"),
}

_NOTHING: Final = ExpectedState()
_OPEN: Final = Begin.leaves
_PAYABLE: Final = ExpectedState(payable=1)
_RELEASED: Final = ExpectedState(payable=1, released=1)
_STORED: Final = ExpectedState(attempts=1)
_BOTH: Final = ExpectedState(payable=2, released=1, attempts=2)
"""The new checkout is stored, and the old one can still be paid."""
_NEW: Final = ExpectedState(payable=1, attempts=2)
"""The old checkout is cancelled, and the new one's secret not released."""
_RECORDED: Final = ExpectedState(attempts=1, orders=1)
_DONE: Final = ExpectedState(orders=1)
_HALF_REPORTED: Final = ReportRefundedCharge.half_reported

GRPC_TARGETS: Final = (
    Target(Begin, Call.SAVE_ATTEMPT, _PAYABLE, ExpectedState(payable=1, attempts=1)),
    Target(BeginAgain, Call.GET_ATTEMPT, _OPEN, _OPEN),
    Target(BeginAgain, Call.SAVE_ATTEMPT, _OPEN, _OPEN),
    Target(BeginLost, Call.GET_PURCHASE, _RELEASED, _RELEASED),
    Target(Replace, Call.GET_ATTEMPT, _OPEN, _OPEN),
    Target(Replace, Call.SAVE_ATTEMPT, replace(_OPEN, payable=2), _BOTH),
    Target(Replace, Call.GET_ATTEMPT, _BOTH, _BOTH, skip=1),
    Target(Replace, Call.CLOSE_ATTEMPT, _BOTH, _BOTH),
    Target(Replace, Call.DELETE_ATTEMPT, _NEW, replace(_NEW, attempts=1)),
    Target(BeginSubscription, Call.GET_CUSTOMER, _NOTHING, _NOTHING),
    Target(ReadOpen, Call.GET_ATTEMPT, _OPEN, _OPEN),
    Target(Return, Call.GET_ATTEMPT, _STORED, _STORED),
    Target(Return, Call.RECORD_PURCHASE, _STORED, _RECORDED),
    Target(Return, Call.DELETE_ATTEMPT, _RECORDED, _DONE),
    Target(ReturnWithoutAttempt, Call.GET_PURCHASE, _NOTHING, _NOTHING),
    Target(ReturnWithoutAttempt, Call.QUARANTINE_PAYMENT, _NOTHING, ExpectedState(quarantined=1)),
    Target(Report, Call.GET_ATTEMPT, _STORED, _STORED),
    Target(Report, Call.RECORD_PURCHASE, _STORED, _RECORDED),
    Target(ReadCompleted, Call.GET_PURCHASE, _DONE, _DONE),
    Target(ListOrders, Call.LIST_ORDERS, _DONE, _DONE),
    Target(ReadOrder, Call.GET_ORDER, _DONE, _DONE),
    Target(ReportRefund, Call.GET_REFUND, ReportRefund.unreported, ReportRefund.unreported),
    Target(ReportRefund, Call.APPLY_REFUND, ReportRefund.unreported, ReportRefund.leaves),
    Target(ReportRefundedCharge, Call.GET_REFUND, _HALF_REPORTED, _HALF_REPORTED, skip=1),
    Target(ReportRefundedCharge, Call.APPLY_REFUND, _HALF_REPORTED, ReportRefundedCharge.leaves, skip=1),
    Target(ReportDispute, Call.GET_DISPUTE, ReportDispute.unreported, ReportDispute.unreported),
    Target(ReportDispute, Call.APPLY_DISPUTE, ReportDispute.unreported, ReportDispute.leaves),
)
CREATE: Final = Target(Begin, Call.CREATE_INTENT, _NOTHING, _PAYABLE)
CANCEL: Final = Target(Replace, Call.CANCEL_INTENT, _BOTH, _NEW)
RETRIEVE_INTENT_TARGETS: Final = (
    Target(BeginAgain, Call.RETRIEVE_INTENT, _OPEN, _OPEN),
    Target(Replace, Call.RETRIEVE_INTENT, _BOTH, _BOTH),
    Target(Return, Call.RETRIEVE_INTENT, _STORED, _STORED),
    Target(ReadOpen, Call.RETRIEVE_INTENT, _OPEN, _OPEN),
)
REFUND_TARGETS: Final = (
    Target(ReportLate, Call.LIST_REFUNDS, _STORED, _STORED),
    Target(ReportRefund, Call.RETRIEVE_REFUND, ReportRefund.unreported, ReportRefund.unreported),
    Target(ReportRefundedCharge, Call.LIST_REFUNDS, ReportRefundedCharge.unreported, ReportRefundedCharge.unreported),
    Target(ReportRefundedCharge, Call.RETRIEVE_REFUND, _HALF_REPORTED, _HALF_REPORTED),
    Target(ReportDispute, Call.RETRIEVE_DISPUTE, ReportDispute.unreported, ReportDispute.unreported),
)
CREATE_SETUP: Final = Target(BeginSubscription, Call.CREATE_SETUP, _NOTHING, _PAYABLE)
CANCEL_SETUP: Final = Target(ReplaceSubscription, Call.CANCEL_SETUP, _BOTH, _NEW)
RETRIEVE_SETUP: Final = Target(BeginSubscriptionAgain, Call.RETRIEVE_SETUP, _OPEN, _OPEN)
CREATE_CUSTOMER: Final = Target(BeginFirstSubscription, Call.CREATE_CUSTOMER, _NOTHING, _NOTHING)
UPDATE_CUSTOMER: Final = Target(BeginFirstSubscription, Call.UPDATE_CUSTOMER, _NOTHING, _NOTHING)
PUT_CUSTOMER: Final = Target(BeginFirstSubscription, Call.PUT_CUSTOMER, _NOTHING, _NOTHING)
RETRIEVE_PRICE: Final = Target(BeginWithNewPrice, Call.RETRIEVE_PRICE, _NOTHING, _NOTHING)

GRPC_FAULTS: Final = tuple(
    fault
    for moment, when in ((BEFORE, "before"), (AFTER, "after"))
    for fault in (
        GrpcFault(f"breaks_once_{when}", Ending.BREAKS, moment, OK, count=1),
        GrpcFault(f"breaks_{when}", Ending.BREAKS, moment, UNAVAILABLE),
        GrpcFault(f"silent_{when}", Ending.STAYS_SILENT, moment, UNAVAILABLE),
        GrpcFault(f"fails_{when}", Ending.FAILS, moment, INTERNAL),
    )
)
_HEALING: Final = (
    StripeFault("reset_before", BEFORE, OK, count=1),
    StripeFault("reset_after", AFTER, OK, count=1),
    StripeFault("latency_before", BEFORE, OK, count=1, options={"seconds": _SLOW_SECONDS}),
    StripeFault("slow_body_after", AFTER, OK, count=1, options={"seconds": _SLOW_SECONDS}),
    StripeFault("cut_body_after", AFTER, OK, count=1),
    StripeFault("not_json_after", AFTER, OK, count=1),
    StripeFault("foreign_json_after", AFTER, OK, count=1),
    StripeFault("proxy_error_before", BEFORE, OK, count=1),
    StripeFault("proxy_error_after", AFTER, OK, count=1),
    StripeFault("error_unsaved", BEFORE, OK, count=1),
    StripeFault("lock_timeout", BEFORE, OK, count=1),
)
_LASTING: Final = (
    StripeFault("reset_before", BEFORE, UNAVAILABLE),
    StripeFault("reset_after", AFTER, UNAVAILABLE),
    StripeFault("hold_before", BEFORE, UNAVAILABLE),
    StripeFault("hold_after", AFTER, UNAVAILABLE),
    StripeFault("cut_body_after", AFTER, UNAVAILABLE),
    StripeFault("not_json_after", AFTER, UNAVAILABLE),
    StripeFault("foreign_json_after", AFTER, UNAVAILABLE),
    StripeFault(
        "proxy_error_before",
        BEFORE,
        replace(UNAVAILABLE, retry_after=str(_BEYOND_THE_BUDGET_SECONDS)),
        options={"retry_after": _BEYOND_THE_BUDGET_SECONDS},
    ),
    StripeFault("proxy_error_after", AFTER, UNAVAILABLE),
    StripeFault("error_unsaved", BEFORE, UNAVAILABLE),
    StripeFault("lock_timeout", BEFORE, UNAVAILABLE),
    StripeFault("unauthorized", BEFORE, UNAVAILABLE),
    StripeFault("forbidden", BEFORE, UNAVAILABLE),
)
_STRIPE_FAULTS: Final = (*_HEALING, *_LASTING)
_POST_FAULTS: Final = (
    StripeFault("key_in_use", BEFORE, OK, count=1),
    StripeFault("key_in_use", BEFORE, UNAVAILABLE),
    StripeFault("error_before", BEFORE, OK, count=1),
    StripeFault("error_after", AFTER, OK, count=1),
    StripeFault("error_before", BEFORE, UNAVAILABLE),
)
_RATE_LIMITED_ONCE: Final = StripeFault("rate_limit", BEFORE, OK, count=1)
"""Without Retry-After."""
_RATE_LIMITED: Final = StripeFault(
    "rate_limit", BEFORE, replace(UNAVAILABLE, retry_after="3"), options={"retry_after": 3}
)
"""With a Retry-After beyond the budget of a request."""


def _row(target: Target, fault: FaultKind, **differing: Any) -> Row:
    given_up = target.before if fault.moment is BEFORE else target.after
    left = target.scenario.leaves if fault.answer is OK else given_up
    return replace(Row(target, fault, fault.answer, left), **differing)


def _rows() -> Iterator[Row]:
    for target in GRPC_TARGETS:
        yield from (_row(target, fault) for fault in GRPC_FAULTS)
    for target in (CREATE, CANCEL, RETRIEVE_PRICE, *RETRIEVE_INTENT_TARGETS, *REFUND_TARGETS):
        yield from (_row(target, fault) for fault in _STRIPE_FAULTS)
        yield _row(target, _RATE_LIMITED_ONCE, queue=Queue.RATE_LIMITED)
    yield from _customer_rows()
    for target in (CREATE_SETUP, CANCEL_SETUP, RETRIEVE_SETUP):
        yield from (_row(target, fault) for fault in _STRIPE_FAULTS)
    yield _row(CREATE, _RATE_LIMITED, queue=Queue.RATE_LIMITED)
    for target in REFUND_TARGETS:
        yield _row(target, _RATE_LIMITED, queue=Queue.RATE_LIMITED, only_long=True)
    for target in (CANCEL, CANCEL_SETUP):
        yield from (_row(target, fault) for fault in _POST_FAULTS)
        yield _row(target, StripeFault("error_after", AFTER, UNAVAILABLE))
        yield _row(target, StripeFault("key_mismatch", BEFORE, OK, count=1))
        yield _row(target, StripeFault("key_mismatch", BEFORE, UNAVAILABLE))
    yield from _used_key_rows(CREATE)
    yield from _used_key_rows(CREATE_SETUP)


def _customer_rows() -> Iterator[Row]:
    """Yield faults of customers, which heal before there is an intent, or leave nothing to pay."""
    lasting = [
        StripeFault("reset_after", AFTER, UNAVAILABLE),
        StripeFault("error_after", AFTER, UNAVAILABLE),
        StripeFault("key_mismatch", BEFORE, UNAVAILABLE),
    ]
    for target in (CREATE_CUSTOMER, UPDATE_CUSTOMER):
        for fault in (*_HEALING, *_POST_FAULTS, *lasting):
            yield _row(target, fault, queue=Queue.CUSTOMERS)
    for grpc_fault in GRPC_FAULTS:
        yield _row(PUT_CUSTOMER, grpc_fault, queue=Queue.CUSTOMERS)


def _used_key_rows(target: Target) -> Iterator[Row]:
    """Yield faults that use up the idempotency key; they may leave an intent that nobody can pay (ADR 8)."""
    for fault in _POST_FAULTS:
        stored_intent = fault.answer is OK and fault.kind == "error_after"
        abandoned = {"abandoned": 1, "left": replace(Begin.leaves, payable=2)} if stored_intent else {}
        yield _row(target, fault, **abandoned)
    # The request uses up two keys; the next request goes on with the third.
    yield _row(target, StripeFault("error_after", AFTER, UNAVAILABLE), left=ExpectedState(payable=2), abandoned=2)
    # A key that was used with other parameters: the client may hold the secret of their intent.
    yield _row(target, StripeFault("key_mismatch", BEFORE, KEY_REUSED, count=1))
    yield _row(target, StripeFault("key_mismatch", BEFORE, KEY_REUSED))


ROWS: Final = tuple(_rows())
TARGETS: Final = tuple(dict.fromkeys(row.target for row in ROWS))
SCENARIOS: Final = tuple(dict.fromkeys(target.scenario for target in TARGETS))
