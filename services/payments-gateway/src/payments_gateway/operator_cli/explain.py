"""`holdfast explain`: everything that is known about one checkout, in order, and what happens next."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from payments_gateway.domain.attempts import Attempt, FoundAttempt, Tombstone
from payments_gateway.domain.history import CheckoutHistory
from payments_gateway.domain.settlements import PaymentState
from payments_gateway.history.outlook import outlook
from payments_gateway.history.reader import HistoryReader, SubjectNotFound
from payments_gateway.history.timeline import Moment, amount_text, timeline
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.options import AsJson
from payments_gateway.operator_cli.results import ExitCode, Refused, Result, time_json, time_text
from payments_gateway.operator_cli.runner import run
from payments_gateway.rpc.attempts import AttemptsClient
from payments_gateway.rpc.audit import RecordedPaymentsClient
from payments_gateway.rpc.settlements import SettlementsClient
from payments_gateway.rpc.subscriptions import SubscriptionsClient
from payments_gateway.stripe_api.histories import StripeIntentHistories
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions

EXAMPLES: Final = """\b
Examples:
  holdfast explain 0b9f5a3c-7d1e-8c2f-9a4b-5d6e7f809a1b    an attempt, an order or a subscription
  holdfast explain pi_3Q0aBcD                              an intent
  holdfast explain K7M-2QX-9FW                             the number of an order
  TZ=Europe/Berlin holdfast explain sub_1Q0aBcD            a Stripe subscription, with times in Berlin
"""


def explain(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT", help="Id of an attempt, intent, order or subscription, or an order's number."
        ),
    ],
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show what Redis, PostgreSQL and Stripe know about a checkout, in order of time, and what happens next.

    It tells no personal data. What one of them does not answer is left out, and the exit code is 3.
    """
    run(lambda connections: explained(connections, subject), as_json=as_json)


async def explained(connections: Connections, subject: str) -> Result:
    """Return the history of a checkout."""
    timeout_seconds = connections.timeout_seconds
    reader = HistoryReader(
        attempts=AttemptsClient(connections.checkout_session, timeout_seconds=timeout_seconds),
        settlements=SettlementsClient(connections.orders, timeout_seconds=timeout_seconds),
        decisions=RecordedPaymentsClient(connections.orders, timeout_seconds=timeout_seconds),
        subscriptions=SubscriptionsClient(connections.orders, timeout_seconds=timeout_seconds),
        intents=StripeIntentHistories(connections.stripe),
        billing=StripeSubscriptions(connections.stripe),
        ids=connections.ids,
    )
    try:
        history = await reader.read(subject)
    except SubjectNotFound:
        raise Refused("no attempt, intent, order or subscription is known by this") from None
    states, moments, next_steps = list(_states(history)), timeline(history), outlook(history, datetime.now(UTC))
    return Result(
        _document(history, states, moments, next_steps),
        [_state_table(states), _timeline_table(moments), *(f"Next: {each}" for each in next_steps)],
        ExitCode.UNAVAILABLE if history.unavailable else ExitCode.OK,
    )


def _states(history: CheckoutHistory) -> Iterator[tuple[str, str]]:
    """Yield what each place says now."""
    for name in history.unavailable:
        yield name, "did not answer"
    if history.attempt is not None or _is_unknown(history):
        yield "checkout-session", _attempt_state(history.attempt)
    for each in history.intents:
        intent = each.intent
        refunded = f", {amount_text(intent.refunded)} given back" if intent.refunded else ""
        yield "Stripe", f"{intent.ref.id}: {intent.status.value}, received {amount_text(intent.received)}{refunded}"
    for payment in history.payments:
        yield from (("orders", text) for text in _payment_states(payment.state, history))


def _is_unknown(history: CheckoutHistory) -> bool:
    """Return True if checkout-session knows no attempt, as opposed to not being asked, or not answering."""
    if history.attempt_id is None:
        return not history.unavailable
    return "checkout-session" not in history.unavailable


def _attempt_state(found: FoundAttempt | None) -> str:
    if found is None:
        return "knows no such attempt"
    links = [f"superseded by {found.successor}"] if found.successor else []
    if isinstance(found, Attempt):
        links += [f"supersedes {found.context.supersedes}"] if found.context.supersedes else []
        links.append(f"to be paid until {time_text(found.context.pay_by)}")
    return ", ".join([_attempt_status(found), *links])


def _attempt_status(found: FoundAttempt) -> str:
    if isinstance(found, Tombstone):
        return f"attempt deleted: {found.reason.value}"
    status = f"closed: {found.close_reason.value}" if found.close_reason else "open"
    return f"attempt {status}" if isinstance(found, Attempt) else f"attempt {status}, its content cannot be decrypted"


def _payment_states(state: PaymentState, history: CheckoutHistory) -> Iterator[str]:
    if state.purchase is None:
        reason = state.reason.value if state.reason else "unknown"
        stands = f"settled: {state.stands_as.value}" if state.stands_as else "not settled"
        yield f"{state.intent.id}: quarantined, {reason}, {stands}, content {state.content.value}"
        return
    if (order := state.purchase.order) is not None:
        yield f"{state.intent.id}: order {order.number} ({order.id}), {order.status.value}, {amount_text(order.total)}"
    for subscription in state.purchase.subscriptions:
        stripe_id = subscription.stripe_subscription_id
        at_stripe = history.subscriptions_at_stripe.get(stripe_id or "")
        status = f": {at_stripe.value if at_stripe else 'unknown'}" if "Stripe" not in history.unavailable else ""
        there = f", {stripe_id} at Stripe{status}" if stripe_id else ""
        yield f"{state.intent.id}: subscription {subscription.id}, {subscription.status.value}{there}"


def _document(
    history: CheckoutHistory, states: list[tuple[str, str]], moments: list[Moment], next_steps: list[str]
) -> dict[str, Any]:
    return {
        "attempt": history.attempt_id,
        "ours": history.is_ours,
        "intents": sorted({each.intent.ref.id for each in history.intents} | _decided(history)),
        "unavailable": list(history.unavailable),
        "states": [{"knownBy": known_by, "state": state} for known_by, state in states],
        "timeline": [{"at": time_json(each.at), "knownBy": each.known_by, "event": each.event} for each in moments],
        "next": next_steps,
    }


def _decided(history: CheckoutHistory) -> set[str]:
    return {each.state.intent.id for each in history.payments}


def _state_table(states: list[tuple[str, str]]) -> Table:
    table = Table("known by", "now")
    for row in states:
        table.add_row(*row)
    return table


def _timeline_table(moments: list[Moment]) -> Table:
    table = Table("at", "known by", "event")
    for each in moments:
        table.add_row(time_text(each.at), each.known_by, each.event)
    return table
