"""Moments of a checkout in their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from payments_gateway.domain.attempts import Attempt
from payments_gateway.domain.history import CheckoutHistory, IntentHistory
from payments_gateway.domain.money import Money
from payments_gateway.domain.settlements import PaymentState, ShownPayment
from payments_gateway.domain.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened, and the place that knows it."""

    at: datetime
    known_by: str
    event: str


def timeline(history: CheckoutHistory) -> list[Moment]:
    """Return everything that has a time, oldest first."""
    moments = [moment for each in history.intents for moment in _of_intent(each)]
    moments += [moment for each in history.payments for moment in _of_payment(each)]
    if isinstance(history.attempt, Attempt):
        moments.append(Moment(history.attempt.context.pay_by, "checkout-session", "the time to pay ends"))
    return sorted(moments, key=lambda moment: moment.at)


def amount_text(amount: Money | None) -> str:
    """Return an amount in minor units."""
    return "nothing" if amount is None else f"{amount.minor_units} {amount.currency}"


def _of_intent(history: IntentHistory) -> Iterator[Moment]:
    intent = history.intent
    yield Moment(intent.created_at, "Stripe", f"{intent.ref.id} created for {amount_text(history.amount)}")
    if history.charged_at is not None:
        yield Moment(history.charged_at, "Stripe", f"{intent.ref.id} charged")
    if history.canceled_at is not None:
        yield Moment(history.canceled_at, "Stripe", f"{intent.ref.id} canceled")
    for refund in history.refunds:
        yield Moment(
            refund.created_at, "Stripe", f"refund {refund.id} of {amount_text(refund.amount)}, {refund.status}"
        )
    for dispute in history.disputes:
        text = f"dispute {dispute.id} of {amount_text(dispute.amount)}, {dispute.status}"
        yield Moment(dispute.created_at, "Stripe", text)


def _of_payment(shown: ShownPayment) -> Iterator[Moment]:
    state = shown.state
    yield from _of_quarantine(state)
    if state.purchase is not None:
        if (order := state.purchase.order) is not None:
            yield Moment(order.created_at, "orders", f"order {order.number} recorded, {amount_text(order.total)}")
        for subscription in state.purchase.subscriptions:
            yield from _of_subscription(subscription)
    for action in shown.actions:
        yield Moment(action.at, "orders", f"operator {action.operator}: {action.action}, because: {action.reason}")


def _of_quarantine(state: PaymentState) -> Iterator[Moment]:
    if state.quarantined_at is not None and state.reason is not None:
        yield Moment(state.quarantined_at, "orders", f"{state.intent.id} quarantined: {state.reason.value}")
    if state.resolved_at is not None:
        yield Moment(state.resolved_at, "orders", f"{state.intent.id} resolved")


def _of_subscription(subscription: Subscription) -> Iterator[Moment]:
    name = f"subscription {subscription.id}"
    yield Moment(subscription.created_at, "orders", f"{name} recorded")
    if subscription.activation_began_at is not None:
        yield Moment(subscription.activation_began_at, "orders", f"{name}: creation at Stripe begun")
    if subscription.activation_failed_at is not None:
        text = f"{name}: Stripe refused it, {subscription.activation_failure or 'and it may begin again'}"
        yield Moment(subscription.activation_failed_at, "orders", text)
    if subscription.cancel_requested_at is not None:
        yield Moment(subscription.cancel_requested_at, "orders", f"{name} cancelled before it was created")
    for invoice in subscription.invoices:
        text = f"invoice {invoice.id} of {amount_text(invoice.total)}, {invoice.status.value}"
        yield Moment(invoice.created_at, "orders", text)
