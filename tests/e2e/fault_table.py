"""What can go wrong with each outgoing call of a gateway, and what must come of it: one row for each.

A fault that passes once must heal within the request. One that lasts must be told, leave what the table says, and harm
nobody who asks again once it is over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final

from .adjustment_deeds import ReportDispute, ReportRefund, ReportRefundedCharge
from .adjustment_situations import AdjustmentRoad
from .checkout_deeds import Begin, BeginAgain, BeginWithNewWare, Look, Replace
from .deeds import Deed, Errand, Left
from .harness.checkpoint import Ending, Moment
from .purchase_deeds import ListOrders, LookAfterwards, ReadOrder, Report, Return, ReturnOfOneLost
from .situations import Road
from .subscription_deeds import (
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
class Told:
    """What the client is answered."""

    status: int
    problem: str = ""
    retry_after: str | None = None


WELL: Final = Told(200)
AWAY: Final = Told(503, "temporarily_unavailable", "2")
BROKEN: Final = Told(500, "internal")
REUSED: Final = Told(409, "idempotency_key_reused")


@dataclass(frozen=True)
class Place:
    """One outgoing call of one deed, and what is left when the deed gave up over it."""

    deed: type[Deed]
    road: Road | Errand | AdjustmentRoad
    before: Left
    """When the call never took effect."""
    after: Left
    """When it took effect, and its answer never arrived."""
    skip: int = 0
    """Calls by this road that the deed makes earlier."""


@dataclass(frozen=True)
class GrpcFault:
    """What can happen to a call to another service."""

    name: str
    ending: Ending
    moment: Moment
    told: Told
    count: int | None = None
    """How many calls it hits; None for all."""


@dataclass(frozen=True)
class StripeFault:
    """What can happen to a request to Stripe: a fault of the simulator."""

    kind: str
    moment: Moment
    told: Told
    count: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The kind, and whether it passes."""
        return f"{self.kind}_once" if self.count else self.kind


Fault = GrpcFault | StripeFault


class Queue(Enum):
    """Rows that cannot be played beside each other wait in a queue."""

    NONE = auto()
    CATALOGUE = auto()
    """All buyers share the reading of prices."""
    CUSTOMERS = auto()
    """Customers are made with nothing that would tell one's request from another's."""
    SLOWED_DOWN = auto()
    """Stripe slows the whole gateway down; these have one of their own."""


@dataclass(frozen=True)
class Row:
    """One fault at one place, and what must come of it."""

    place: Place
    fault: Fault
    told: Told
    left: Left
    """Once the client was told, while the fault still lasts."""
    forgotten: int = 0
    """Intents that stay payable for ever though nobody was given their secret."""
    queue: Queue = Queue.NONE
    seldom: bool = False
    """Whether it is left to the long runs, though it is telling: another row tells the same."""

    @property
    def takes_long(self) -> bool:
        """Whether the gateway waits for an answer that does not come."""
        return self.fault.name.startswith(("silent", "hold"))

    @property
    def is_telling(self) -> bool:
        """Whether it is played in every run: one that passes and one that lasts, before the effect and after it."""
        return self.fault.name in _TELLING and not self.seldom

    @property
    def name(self) -> str:
        """Deed, call and fault."""
        call = self.place.road.name + ("-again" if self.place.skip else "")
        return f"{self.place.deed.__name__}-{call}-{self.fault.name}"


_TELLING: Final = {
    *("breaks_once_before", "breaks_after"),
    *("proxy_error_before_once", "reset_after", "error_after", "error_after_once", "key_mismatch", "rate_limit"),
}
"""Names of faults. The others differ in how Stripe or a service fails, not in what must come of it."""

_OPEN: Final = Left(payable=1, released=1, attempts=1)
_PAID: Final = Left(attempts=1)
_DONE: Final = Left(orders=1)
_HALF_TOLD: Final = ReportRefundedCharge.half_told

GRPC_PLACES: Final = (
    Place(Begin, Road.GET_ATTEMPT, Left(), Left()),
    Place(Begin, Road.GET_PURCHASE, Left(), Left()),
    Place(Begin, Road.SAVE_ATTEMPT, Left(payable=1), Left(payable=1, attempts=1)),
    Place(BeginAgain, Road.GET_ATTEMPT, _OPEN, _OPEN),
    Place(BeginAgain, Road.SAVE_ATTEMPT, _OPEN, _OPEN),
    Place(Replace, Road.GET_ATTEMPT, _OPEN, _OPEN, skip=1),
    Place(Replace, Road.CLOSE_ATTEMPT, _OPEN, _OPEN),
    Place(Replace, Road.DELETE_ATTEMPT, Left(attempts=1), Left()),
    Place(BeginSubscription, Road.GET_CUSTOMER, Left(), Left()),
    Place(Look, Road.GET_ATTEMPT, _OPEN, _OPEN),
    Place(Return, Road.GET_ATTEMPT, _PAID, _PAID),
    Place(Return, Road.RECORD_PURCHASE, _PAID, Left(attempts=1, orders=1)),
    Place(Return, Road.DELETE_ATTEMPT, Left(attempts=1, orders=1), _DONE),
    Place(ReturnOfOneLost, Road.GET_PURCHASE, Left(), Left()),
    Place(ReturnOfOneLost, Road.QUARANTINE_PAYMENT, Left(), Left(quarantined=1)),
    Place(Report, Road.GET_ATTEMPT, _PAID, _PAID),
    Place(Report, Road.RECORD_PURCHASE, _PAID, Left(attempts=1, orders=1)),
    Place(Report, Road.DELETE_ATTEMPT, Left(attempts=1, orders=1), _DONE),
    Place(LookAfterwards, Road.GET_PURCHASE, _DONE, _DONE),
    Place(ListOrders, Errand.LIST_ORDERS, _DONE, _DONE),
    Place(ReadOrder, Errand.GET_ORDER, _DONE, _DONE),
    Place(ReportRefund, AdjustmentRoad.GET_REFUND, ReportRefund.untold, ReportRefund.untold),
    Place(ReportRefund, AdjustmentRoad.APPLY_REFUND, ReportRefund.untold, ReportRefund.done),
    Place(ReportRefundedCharge, AdjustmentRoad.GET_REFUND, _HALF_TOLD, _HALF_TOLD, skip=1),
    Place(ReportRefundedCharge, AdjustmentRoad.APPLY_REFUND, _HALF_TOLD, ReportRefundedCharge.done, skip=1),
    Place(ReportDispute, AdjustmentRoad.GET_DISPUTE, ReportDispute.untold, ReportDispute.untold),
    Place(ReportDispute, AdjustmentRoad.APPLY_DISPUTE, ReportDispute.untold, ReportDispute.done),
)
CREATE: Final = Place(Begin, Road.CREATE_INTENT, Left(), Left(payable=1))
CANCEL: Final = Place(Replace, Road.CANCEL_INTENT, _OPEN, Left(attempts=1))
RETRIEVE_TO_RELEASE: Final = Place(BeginAgain, Road.RETRIEVE_INTENT, _OPEN, _OPEN)
RETRIEVE_TO_FULFIL: Final = Place(Return, Road.RETRIEVE_INTENT, _PAID, _PAID)
RETRIEVE_TO_SHOW: Final = Place(Look, Road.RETRIEVE_INTENT, _OPEN, _OPEN)
CREATE_SETUP: Final = Place(BeginSubscription, Road.CREATE_SETUP, Left(), Left(payable=1))
CANCEL_SETUP: Final = Place(ReplaceSubscription, Road.CANCEL_SETUP, _OPEN, Left(attempts=1))
RETRIEVE_SETUP: Final = Place(BeginSubscriptionAgain, Road.RETRIEVE_SETUP, _OPEN, _OPEN)
CREATE_CUSTOMER: Final = Place(BeginFirstSubscription, Road.CREATE_CUSTOMER, Left(), Left())
UPDATE_CUSTOMER: Final = Place(BeginFirstSubscription, Road.UPDATE_CUSTOMER, Left(), Left())
PUT_CUSTOMER: Final = Place(BeginFirstSubscription, Road.PUT_CUSTOMER, Left(), Left())
CATALOGUE_PLACES: Final = (
    Place(BeginWithNewWare, Errand.LIST_PRICES, Left(), Left()),
    Place(BeginWithNewWare, Errand.LIST_SHIPPING_RATES, Left(), Left()),
)

ADJUSTMENT_PLACES: Final = (
    Place(ReportRefund, AdjustmentRoad.RETRIEVE_REFUND, ReportRefund.untold, ReportRefund.untold),
    Place(ReportRefundedCharge, AdjustmentRoad.LIST_REFUNDS, ReportRefundedCharge.untold, ReportRefundedCharge.untold),
    Place(ReportRefundedCharge, AdjustmentRoad.RETRIEVE_REFUND, _HALF_TOLD, _HALF_TOLD),
    Place(ReportDispute, AdjustmentRoad.RETRIEVE_DISPUTE, ReportDispute.untold, ReportDispute.untold),
)

GRPC_FAULTS: Final = tuple(
    fault
    for moment, when in ((BEFORE, "before"), (AFTER, "after"))
    for fault in (
        GrpcFault(f"breaks_once_{when}", Ending.BREAKS, moment, WELL, count=1),
        GrpcFault(f"breaks_{when}", Ending.BREAKS, moment, AWAY),
        GrpcFault(f"silent_{when}", Ending.STAYS_SILENT, moment, AWAY),
        GrpcFault(f"fails_{when}", Ending.FAILS, moment, BROKEN),
    )
)

_HEALING: Final = (
    StripeFault("reset_before", BEFORE, WELL, count=1),
    StripeFault("reset_after", AFTER, WELL, count=1),
    StripeFault("latency_before", BEFORE, WELL, count=1, options={"seconds": _SLOW_SECONDS}),
    StripeFault("slow_body_after", AFTER, WELL, count=1, options={"seconds": _SLOW_SECONDS}),
    StripeFault("cut_body_after", AFTER, WELL, count=1),
    StripeFault("not_json_after", AFTER, WELL, count=1),
    StripeFault("foreign_json_after", AFTER, WELL, count=1),
    StripeFault("proxy_error_before", BEFORE, WELL, count=1),
    StripeFault("proxy_error_after", AFTER, WELL, count=1),
    StripeFault("error_unsaved", BEFORE, WELL, count=1),
    StripeFault("lock_timeout", BEFORE, WELL, count=1),
)
_LASTING: Final = (
    StripeFault("reset_before", BEFORE, AWAY),
    StripeFault("reset_after", AFTER, AWAY),
    StripeFault("hold_before", BEFORE, AWAY),
    StripeFault("hold_after", AFTER, AWAY),
    StripeFault("cut_body_after", AFTER, AWAY),
    StripeFault("not_json_after", AFTER, AWAY),
    StripeFault("foreign_json_after", AFTER, AWAY),
    StripeFault(
        "proxy_error_before",
        BEFORE,
        replace(AWAY, retry_after=str(_BEYOND_THE_BUDGET_SECONDS)),
        options={"retry_after": _BEYOND_THE_BUDGET_SECONDS},
    ),
    StripeFault("proxy_error_after", AFTER, AWAY),
    StripeFault("error_unsaved", BEFORE, AWAY),
    StripeFault("lock_timeout", BEFORE, AWAY),
    StripeFault("unauthorized", BEFORE, AWAY),
    StripeFault("forbidden", BEFORE, AWAY),
)
_QUICK: Final = tuple(fault for fault in (*_HEALING, *_LASTING) if not fault.kind.startswith("hold"))
_OF_POSTS: Final = (
    StripeFault("key_in_use", BEFORE, WELL, count=1),
    StripeFault("key_in_use", BEFORE, AWAY),
    StripeFault("error_before", BEFORE, WELL, count=1),
    StripeFault("error_after", AFTER, WELL, count=1),
    StripeFault("error_before", BEFORE, AWAY),
)
_RATE_LIMITED_ONCE: Final = StripeFault("rate_limit", BEFORE, WELL, count=1)
"""Without Retry-After."""
_RATE_LIMITED: Final = StripeFault("rate_limit", BEFORE, replace(AWAY, retry_after="3"), options={"retry_after": 3})
"""With a Retry-After that the time for a request has no room for."""


def _row(place: Place, fault: Fault, **differing: Any) -> Row:
    given_up = place.before if fault.moment is BEFORE else place.after
    left = place.deed.done if fault.told is WELL else given_up
    return replace(Row(place, fault, fault.told, left), **differing)


def _rows() -> Iterator[Row]:
    for place in GRPC_PLACES:
        yield from (_row(place, fault) for fault in GRPC_FAULTS)
    retrievals = (RETRIEVE_TO_RELEASE, RETRIEVE_TO_FULFIL, RETRIEVE_TO_SHOW)
    for place in (CREATE, CANCEL, *retrievals, *ADJUSTMENT_PLACES):
        yield from (_row(place, fault) for fault in (*_HEALING, *_LASTING))
        yield _row(place, _RATE_LIMITED_ONCE, queue=Queue.SLOWED_DOWN)
    yield from _of_customers()
    for place in (CREATE_SETUP, CANCEL_SETUP, RETRIEVE_SETUP):
        yield from (_row(place, fault) for fault in (*_HEALING, *_LASTING))
    yield _row(CREATE, _RATE_LIMITED, queue=Queue.SLOWED_DOWN)
    for place in ADJUSTMENT_PLACES:
        yield _row(place, _RATE_LIMITED, queue=Queue.SLOWED_DOWN, seldom=True)
    for place in CATALOGUE_PLACES:
        yield from (_row(place, fault, queue=Queue.CATALOGUE) for fault in _QUICK)
    for place in (CANCEL, CANCEL_SETUP):
        yield from (_row(place, fault) for fault in _OF_POSTS)
        yield _row(place, StripeFault("error_after", AFTER, AWAY))
        yield _row(place, StripeFault("key_mismatch", BEFORE, WELL, count=1))
        yield _row(place, StripeFault("key_mismatch", BEFORE, AWAY))
    yield from _of_keys_that_are_spent(CREATE)
    yield from _of_keys_that_are_spent(CREATE_SETUP)


def _of_customers() -> Iterator[Row]:
    """Make a customer: whatever fails, it is made good before there is an intent, or leaves nothing to pay."""
    lasting = (StripeFault("reset_after", AFTER, AWAY), StripeFault("error_after", AFTER, AWAY))
    for place in (CREATE_CUSTOMER, UPDATE_CUSTOMER):
        for fault in (*_HEALING, *_OF_POSTS, *lasting, StripeFault("key_mismatch", BEFORE, AWAY)):
            yield _row(place, fault, queue=Queue.CUSTOMERS)
    for grpc_fault in GRPC_FAULTS:
        yield _row(PUT_CUSTOMER, grpc_fault, queue=Queue.CUSTOMERS)


def _of_keys_that_are_spent(place: Place) -> Iterator[Row]:
    """Create once more: what Stripe stored under a key is left behind with it, and so may an intent be (ADR 8)."""
    for fault in _OF_POSTS:
        stored_intent = fault.told is WELL and fault.kind == "error_after"
        done = replace(Begin.done, payable=2) if stored_intent else None
        yield _row(place, fault, forgotten=1, left=done) if done else _row(place, fault)
    # Two keys are spent by the request, one after the other; the next request goes on with the third.
    yield _row(place, StripeFault("error_after", AFTER, AWAY), left=Left(payable=2), forgotten=2)
    # Used with other parameters: what those made may be in the buyer's hands.
    yield _row(place, StripeFault("key_mismatch", BEFORE, REUSED, count=1))
    yield _row(place, StripeFault("key_mismatch", BEFORE, REUSED))


ROWS: Final = tuple(_rows())

DEEDS: Final = tuple({row.place.deed: None for row in ROWS})
"""Each deed of the table once."""
