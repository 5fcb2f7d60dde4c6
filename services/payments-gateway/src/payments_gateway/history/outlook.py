"""Next steps of a checkout, by itself or by a person."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from payments_gateway.domain.attempts import Attempt, Tombstone, UnreadableAttempt
from payments_gateway.domain.history import CheckoutHistory, IntentHistory
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.purchases import Purchase, QuarantineReason
from payments_gateway.domain.settlements import PaymentState
from payments_gateway.domain.subscriptions import SubscriptionStatus

_AWAITING = frozenset({QuarantineReason.ATTEMPT_MISSING, QuarantineReason.ATTEMPT_UNREADABLE})

_NOT_PAYABLE: Final = {
    IntentStatus.SUCCEEDED: "{name} is paid and not decided: its webhook or the reconciler records it within minutes.",
    IntentStatus.PROCESSING: "The bank decides about {name}, perhaps in days. The reconciler asks Stripe again.",
    IntentStatus.REQUIRES_CAPTURE: "A person captures or cancels {name} in Stripe's Dashboard.",
    IntentStatus.CANCELED: "Nothing: {name} is canceled.",
    IntentStatus.UNKNOWN: "{name} has a status that this version does not know. The reconciler asks Stripe again.",
}


def outlook(history: CheckoutHistory, now: datetime) -> list[str]:
    """Return sentences, the most important first. None of them is a promise of a dependency that did not answer."""
    if history.unavailable:
        return [f"Unknown: {', '.join(history.unavailable)} did not answer. Run the command again."]
    decided = {payment.state.intent.id: payment.state for payment in history.payments}
    said = [sentence for state in decided.values() for sentence in _of_decision(state)]
    said += [_of_undecided(history, each, now) for each in history.intents if each.intent.ref.id not in decided]
    if decided and isinstance(history.attempt, Attempt | UnreadableAttempt):
        said.append("The stored attempt is deleted by the reconciler.")
    if not history.intents and not decided:
        said.append("Nothing: Stripe knows no intent of it. A reconciler deletes the attempt, if there is one.")
    return said or ["Nothing."]


def _of_decision(state: PaymentState) -> Iterator[str]:
    if state.purchase is not None:
        yield from _of_purchase(state.purchase)
        return
    if state.stands_as is not None or state.resolved_at is not None:
        return
    if state.reason in _AWAITING:
        yield f"{state.intent.id} becomes the purchase by itself if its attempt can be read again."
    yield f"A person settles {state.intent.id}: holdfast quarantine settle {state.intent.id}"


def _of_purchase(purchase: Purchase) -> Iterator[str]:
    for subscription in purchase.subscriptions:
        if subscription.status is SubscriptionStatus.ACTIVATION_FAILED:
            yield (
                f"A person mends the cause and lets it begin again, or gives it up: "
                f"holdfast subscriptions retry {subscription.id}"
            )
        elif subscription.may_need_activation:
            yield f"The reconciler, or the next report of the payment, finishes subscription {subscription.id}."


def _of_undecided(history: CheckoutHistory, each: IntentHistory, now: datetime) -> str:
    intent, name = each.intent, each.intent.ref.id
    if history.attempt is None and not history.is_ours:
        return f"Nothing: {name} is not ours."
    if intent.is_payable:
        return _of_payable(history, name, now)
    if intent.status is IntentStatus.CANCELED and isinstance(history.attempt, Attempt | UnreadableAttempt):
        return "The reconciler deletes the attempt."
    return _NOT_PAYABLE[intent.status].format(name=name)


def _of_payable(history: CheckoutHistory, name: str, now: datetime) -> str:
    match history.attempt:
        case Attempt(close_reason=None, context=context) if now < context.pay_by:
            return f"The buyer may pay {name} until then; after that the reconciler cancels it."
        case None | Tombstone():
            return f"No attempt is stored: the reconciler cancels {name} once nobody can be about to pay it."
        case _:
            return f"The reconciler cancels {name}, and deletes the attempt."
