"""The checker: compares the states of the stores with the driver's history, and judges P1 to P5."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from .history import Granted, History, Wipe
from .plan import Plan
from .state import ATTEMPT_ID_KEY, Decision, Order, State, StripeIntent, StripeSubscription, Subscription

PAYABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
_SUCCEEDED: Final = "succeeded"
_CANCELED: Final = "canceled"
_PURCHASE: Final = "purchase"
_NEVER_STARTED: Final = frozenset({"activation_failed", "canceled", "incomplete_expired"})
"""Statuses of subscriptions that may have none at Stripe."""
Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, order=True)
class Finding:
    """A broken promise."""

    promise: str
    subject: str
    """An id."""
    text: str

    def __str__(self) -> str:
        return f"{self.promise} {self.subject}: {self.text}"


class Checker:
    """Judges one state. The plan says who resolves what."""

    def __init__(self, state: State, history: History, plan: Plan) -> None:
        self._state, self._history, self._plan = state, history, plan
        self._granted = _by(history.granted, lambda each: each.intent_id)
        self._decisions = _by(state.decisions, lambda each: each.intent_id)
        self._orders = _by(state.orders, lambda each: each.intent_id)
        self._subscriptions = _by(state.subscriptions, lambda each: each.intent_id)
        self._refunds = _by(state.stripe_refunds, lambda each: each.intent_id)
        self._ours = [each for each in state.intents.values() if self._is_ours(each)]

    def findings(self) -> list[Finding]:
        """Return everything that is wrong."""
        found = [
            *(finding for intent in self._ours for finding in self._of_intent(intent)),
            *self._of_rows(),
            *self._of_chains(),
            *self._of_contents(),
            *self._of_subscriptions(),
            *self._of_refunds(),
            *self._of_foreign_intents(),
        ]
        return sorted(found)

    def _is_ours(self, intent: StripeIntent) -> bool:
        foreign = self._history.foreign_paid | self._history.foreign_payable | self._state.invoice_intents
        return intent.id not in foreign

    def _of_intent(self, intent: StripeIntent) -> Iterator[Finding]:
        if set(intent.metadata) != {ATTEMPT_ID_KEY}:
            yield Finding("P1", intent.id, f"carries the metadata {dict(intent.metadata)}")
        granted = self._granted.get(intent.id, [])
        if any(each.attempt_id != intent.attempt_id for each in granted):
            yield Finding("P1", intent.id, "carries another attempt's id than the one that the buyer was told")
        if intent.status == _SUCCEEDED:
            yield from self._of_succeeded(intent, granted)
        elif self._decisions.get(intent.id):
            yield Finding("P3", intent.id, f"is decided although it is {intent.status}")
        elif intent.status != _CANCELED and self._is_met(granted):
            yield Finding("P4", intent.id, f"is {intent.status} and not resolved")

    def _is_met(self, granted: Sequence[Granted]) -> bool:
        """Return True if somebody resolves an unpaid checkout: without reconcilers only a buyer whom the shop knows."""
        known = granted and not any(self._is_before(wipe, granted) for wipe in self._history.wipes)
        return self._plan.judges_orphans or (bool(known) and self._plan.judges_unpaid)

    def _of_succeeded(self, intent: StripeIntent, granted: Sequence[Granted]) -> Iterator[Finding]:
        if not granted:
            yield Finding("P2", intent.id, "is paid although no buyer was given its secret")
        decisions = self._decisions.get(intent.id, [])
        if len(decisions) != 1:
            yield Finding("P3", intent.id, f"is paid and decided {len(decisions)} times")
            return
        decision = decisions[0]
        if (decision.amount or 0, decision.attempt_id) != (intent.amount_received, intent.attempt_id):
            yield Finding("P5", intent.id, f"received {intent.amount_received}, but the decision says {decision}")
        if decision.outcome == _PURCHASE:
            yield from self._of_purchase(intent, granted)
            if self._is_lost(intent, granted):
                yield Finding("P3", intent.id, "became a purchase although its attempt was lost before it was paid")
        else:
            yield from self._of_quarantined(intent, decision, granted)

    def _of_purchase(self, intent: StripeIntent, granted: Sequence[Granted]) -> Iterator[Finding]:
        orders = self._orders.get(intent.id, [])
        charged = not intent.id.startswith("seti_")
        if len(orders) != charged:
            yield Finding("P3", intent.id, f"is a purchase with {len(orders)} orders")
        for order in orders:
            yield from self._of_order(intent, order)
        subscribed = self._subscriptions.get(intent.id, [])
        bought = Counter[str]()
        for quantities in (*(row.quantities for row in orders), *(row.quantities for row in subscribed)):
            bought.update(quantities)
        if granted and bought != granted[0].quantities:
            yield Finding("P5", intent.id, f"paid for {granted[0].quantities}, but {dict(bought)} is recorded")

    def _of_order(self, intent: StripeIntent, order: Order) -> Iterator[Finding]:
        if (order.total, order.currency) != (intent.amount_received, intent.currency):
            yield Finding("P5", intent.id, f"received {intent.amount_received}, but its order says {order.total}")
        if order.items_sum + order.shipping != order.total or order.attempt_id != intent.attempt_id:
            yield Finding("P5", intent.id, f"has an inconsistent order: {order}")
        refunded = self._refunded(intent.id)
        expected = "refunded" if refunded == order.total else "partially_refunded" if refunded else "paid"
        if order.status != expected:
            yield Finding("P5", intent.id, f"gave {refunded} back, but its order is {order.status}")

    def _of_quarantined(
        self, intent: StripeIntent, decision: Decision, granted: Sequence[Granted]
    ) -> Iterator[Finding]:
        if self._orders.get(intent.id) or self._subscriptions.get(intent.id):
            yield Finding("P3", intent.id, "is quarantined and a purchase")
        excused = {
            *(["attempt_missing"] if self._may_be_lost(decision, granted) else []),
            *(["refunded"] if self._refunded(intent.id) >= max(intent.amount_received, 1) else []),
            *(["amount_mismatch"] if any(each.amount != intent.amount_received for each in granted) else []),
        }
        if decision.reason not in excused:
            yield Finding("P3", intent.id, f"is quarantined as {decision.reason}, which no fault made necessary")

    def _is_lost(self, intent: StripeIntent, granted: Sequence[Granted]) -> bool:
        """Return True if Redis lost the attempt for good before the payment."""
        return any(
            intent.paid_at is not None
            and intent.paid_at > wipe.ended_at + 1
            and all(each.granted_at < wipe.began_at for each in granted)
            for wipe in self._history.wipes
        )

    @staticmethod
    def _is_before(wipe: Wipe, granted: Sequence[Granted]) -> bool:
        return any(each.asked_at <= wipe.ended_at for each in granted)

    def _may_be_lost(self, decision: Decision, granted: Sequence[Granted]) -> bool:
        """Return True if Redis may have lost the attempt before the decision."""
        return any(
            decision.decided_at >= wipe.began_at and self._is_before(wipe, granted) for wipe in self._history.wipes
        )

    def _refunded(self, intent_id: str) -> int:
        return sum(each.amount for each in self._refunds.get(intent_id, []) if each.status == _SUCCEEDED)

    def _of_rows(self) -> Iterator[Finding]:
        """Find rows without a payment, and attempts with two purchases."""
        for intent_id in self._orders.keys() | self._subscriptions.keys():
            if self._status(intent_id) != _SUCCEEDED:
                yield Finding("P3", intent_id, "is not paid, but something was bought with it")
        for intent_id in self._decisions.keys() - self._state.intents.keys():
            yield Finding("P3", intent_id, "is decided and unknown at Stripe")
        purchases = Counter(each.attempt_id for each in self._state.decisions if each.outcome == _PURCHASE)
        for attempt_id, count in purchases.items():
            if count > 1:
                yield Finding("P3", attempt_id, f"became {count} purchases")

    def _of_chains(self) -> Iterator[Finding]:
        """Find buyers who paid twice for checkouts that superseded each other."""
        for buyer in self._history.buyers:
            for chain in _by(buyer.granted, lambda each: each.chain).values():
                paid = {each.intent_id for each in chain if self._status(each.intent_id) == _SUCCEEDED}
                if len(paid) > 1 and not self._met_a_wipe(chain):
                    yield Finding("P3", min(paid), f"and others of one chain are paid: {sorted(paid)}")

    def _status(self, intent_id: str) -> str | None:
        intent = self._state.intents.get(intent_id)
        return intent.status if intent else None

    def _met_a_wipe(self, chain: Sequence[Granted]) -> bool:
        return any(
            chain[0].asked_at <= wipe.ended_at and wipe.began_at <= chain[-1].granted_at for wipe in self._history.wipes
        )

    def _of_contents(self) -> Iterator[Finding]:
        """Find attempts that are stored although nothing is left to do with them."""
        kept = {each.attempt_id for each in self._state.decisions if each.reason == "refunded"}
        decided = {each.attempt_id for each in self._state.decisions}
        known = {each.attempt_id for each in self._history.granted} if self._plan.judges_unpaid else decided
        for attempt_id in (self._state.contents | self._state.due) - kept:
            if self._plan.judges_orphans or attempt_id in known:
                yield Finding("P4", attempt_id, "is still stored in Redis")

    def _of_subscriptions(self) -> Iterator[Finding]:
        at_stripe = _by(self._state.stripe_subscriptions, lambda each: each.row_id)
        rows = {row.id: row for row in self._state.subscriptions}
        for row_id, started in at_stripe.items():
            if row_id not in rows:
                yield Finding("P3", started[0].id, "has no row")
        for row in rows.values():
            yield from self._of_subscription(row, at_stripe.get(row.id, []))

    def _of_subscription(self, row: Subscription, started: Sequence[StripeSubscription]) -> Iterator[Finding]:
        if not started and row.status in _NEVER_STARTED:
            return
        if len(started) != 1:
            yield Finding("P3", row.id, f"is {row.status} and was started {len(started)} times at Stripe")
            return
        known = started[0]
        if (row.stripe_id, row.status, row.quantities) != (known.id, known.status, known.quantities):
            yield Finding("P3", row.id, f"differs from Stripe's: {row}, {known}")

    def _of_refunds(self) -> Iterator[Finding]:
        recorded = {each.id: each for each in self._state.refunds}
        ours = {each.id for each in self._ours}
        for refund in self._state.stripe_refunds:
            if refund.intent_id in ours and recorded.get(refund.id) != refund:
                yield Finding("P5", refund.id, f"is recorded as {recorded.get(refund.id)}, and is {refund}")

    def _of_foreign_intents(self) -> Iterator[Finding]:
        """Find effects on the payments of another application."""
        for intent_id in self._history.foreign_paid | self._history.foreign_payable:
            if self._decisions.get(intent_id):
                yield Finding("P3", intent_id, "is another application's, and decided")
        for intent_id in self._history.foreign_payable:
            if self._status(intent_id) not in PAYABLE:
                yield Finding("P3", intent_id, f"is another application's, and now {self._status(intent_id)}")


def _by(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(found)
