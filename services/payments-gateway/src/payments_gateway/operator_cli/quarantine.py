"""`holdfast quarantine`: payments that became no purchase, and what a person makes of them."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from payments_gateway.domain.attempts import CheckoutContext
from payments_gateway.domain.settlements import OperatorStep, PaymentState, SettledPayment, Settlement
from payments_gateway.operator_cli.cart_file import read_cart
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.options import AsJson, OperatorName
from payments_gateway.operator_cli.results import (
    ExitCode,
    Result,
    UsageFault,
    money_json,
    money_text,
    time_json,
    time_text,
)
from payments_gateway.operator_cli.runner import run
from payments_gateway.operator_cli.steps import (
    PERSONAL_REASON,
    Reason,
    actions_json,
    actions_table,
    payment_use_cases_of,
    settlements,
)
from payments_gateway.payments.settle import SettlePayment, SettleRequest
from payments_gateway.stripe_api.catalogue import StripeCatalogue
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.refunds import StripeRefunds

EXAMPLES: Final = """\b
Examples:
  holdfast quarantine list
  holdfast quarantine show pi_3Q0aBcD
  holdfast quarantine settle pi_3Q0aBcD --as order --reason "difference accepted, ticket 4711"
  holdfast quarantine settle pi_3Q0aBcD --as order --cart cart.json --reason "cart from the buyer, ticket 4711"
  holdfast quarantine settle pi_3Q0aBcD --as refunded --refund --reason "paid twice"
  holdfast quarantine settle pi_3Q0aBcD --as written-off --reason "test payment of the shop"
"""

app: Final = typer.Typer(
    help="Payments that became no purchase: list, show and settle them.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)

IntentId = Annotated[str, typer.Argument(metavar="INTENT", help="Stripe intent id.", show_default=False)]


class SettleAs(StrEnum):
    """Settlement, as an operator writes it."""

    ORDER = "order"
    REFUNDED = "refunded"
    WRITTEN_OFF = "written-off"


_SETTLEMENTS: Final = {
    SettleAs.ORDER: Settlement.ORDER,
    SettleAs.REFUNDED: Settlement.REFUNDED,
    SettleAs.WRITTEN_OFF: Settlement.WRITTEN_OFF,
}


@app.command("list", epilog=EXAMPLES)
def list_(
    *,
    with_resolved: Annotated[bool, typer.Option("--all", help="With those that are resolved.")] = False,
    as_json: AsJson = False,
) -> None:
    """List quarantined payments, newest first. Exit code 1 if a person has to resolve one."""
    run(partial(listed, with_resolved=with_resolved), as_json=as_json)


@app.command("show", epilog=EXAMPLES)
def show(
    intent: IntentId,
    *,
    operator: OperatorName,
    personal: Annotated[bool, typer.Option("--personal", help="With the buyer's data. That is recorded.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a payment, the cart that is kept with it, and the steps of operators about it."""
    step = OperatorStep(operator, PERSONAL_REASON) if personal else None
    run(partial(shown, intent_id=intent, personal=step), as_json=as_json)


@app.command("settle", epilog=EXAMPLES)
def settle(
    intent: IntentId,
    *,
    settle_as: Annotated[SettleAs, typer.Option("--as", help="What becomes of it.", show_default=False)],
    reason: Reason,
    operator: OperatorName,
    cart: Annotated[
        Path | None,
        typer.Option("--cart", help="JSON file with the body of initiate-checkout, and userId; else the kept cart."),
    ] = None,
    with_refund: Annotated[bool, typer.Option("--refund", help="Ask Stripe for the refund.")] = False,
    as_json: AsJson = False,
) -> None:
    """Settle a payment: as an order, as refunded, or written off. Safe to repeat; of two operators the first wins.

    An order takes what Stripe received as its total. A difference from the cart is its adjustment.
    """
    request = SettleRequest(operator, reason, intent, _SETTLEMENTS[settle_as], with_refund=with_refund)
    run(partial(settled, request=request, cart=cart), as_json=as_json)


async def listed(connections: Connections, *, with_resolved: bool) -> Result:
    """Return all quarantined payments."""
    client, payments, token = settlements(connections), list[PaymentState](), None
    while True:
        page = await client.list_quarantined(with_resolved=with_resolved, page_token=token)
        payments += page.payments
        if (token := page.next_page_token) is None:
            break
    unresolved = sum(each.stands_as is None for each in payments)
    table = Table("intent", "reason", "received", "since", "stands as")
    for each in payments:
        received, since = money_text(each.received), time_text(each.quarantined_at)
        table.add_row(each.intent.id, each.reason or "", received, since, _stands_as(each))
    document = {"unresolved": unresolved, "payments": [state_json(each) for each in payments]}
    nothing = "Nothing is quarantined." if with_resolved else "Nothing is unresolved."
    shown = [table] if payments else [nothing]
    return Result(document, shown, ExitCode.REFUSED if unresolved else ExitCode.OK)


async def shown(connections: Connections, *, intent_id: str, personal: OperatorStep | None) -> Result:
    """Return one payment."""
    found = await settlements(connections).show(intent_id, personal)
    document = {
        "payment": state_json(found.state),
        "cart": _cart_json(found.context, personal=personal is not None),
        "steps": actions_json(found.actions),
    }
    parts = [_state_table(found.state), *_cart_tables(found.context, personal=personal is not None)]
    return Result(document, [*parts, actions_table(found.actions)])


async def settled(connections: Connections, *, request: SettleRequest, cart: Path | None) -> Result:
    """Settle one payment. Exit code 1 if it stands for another settlement."""
    if cart is not None and request.settlement is not Settlement.ORDER:
        raise UsageFault("--cart is for --as order")
    if request.with_refund and request.settlement is not Settlement.REFUNDED:
        raise UsageFault("--refund is for --as refunded")
    if cart is not None:
        state = (await settlements(connections).show(request.intent_id, None)).state
        catalogue = StripeCatalogue(connections.stripe)
        supplied = await read_cart(cart, catalogue, state.customer_id)
        request = SettleRequest(
            request.operator, request.reason, request.intent_id, request.settlement, supplied, request.with_refund
        )
    outcome = await _settle_payment(connections).settle(request)
    return _settled_result(request, outcome)


def _settle_payment(connections: Connections) -> SettlePayment:
    services, client = connections.services, connections.stripe
    refunds, payments = StripeRefunds(client), payment_use_cases_of(connections)
    return SettlePayment(
        settlements=settlements(connections),
        attempts=services.attempts,
        intents=StripeIntents(client),
        refunds=refunds,
        refund_lister=refunds,
        mirror=payments.refunds,
        activation=payments.activation,
    )


def _settled_result(request: SettleRequest, outcome: SettledPayment) -> Result:
    agrees = outcome.state.stands_as is request.settlement
    document = {"payment": state_json(outcome.state), "alreadySettled": outcome.already_settled}
    text = f"It stands as {_stands_as(outcome.state)}"
    if not agrees:
        text += ": another step was first, and nothing was changed"
    elif outcome.already_settled:
        text += " already"
    return Result(document, [_state_table(outcome.state), f"{text}."], ExitCode.OK if agrees else ExitCode.REFUSED)


def state_json(state: PaymentState) -> dict[str, Any]:
    """Return a payment as JSON, without personal data."""
    purchase = state.purchase
    order = purchase.order if purchase else None
    return {
        "intent": state.intent.id,
        "attempt": state.attempt_id,
        "reason": state.reason,
        "received": money_json(state.received),
        "quarantinedAt": time_json(state.quarantined_at),
        "resolvedAt": time_json(state.resolved_at),
        "refundBegunAt": time_json(state.refund_begun_at),
        "content": state.content.value,
        "standsAs": state.stands_as,
        "order": {
            "id": order.id,
            "number": order.number,
            "status": order.status.value,
            "total": money_json(order.total),
            "adjustment": money_json(order.adjustment),
        }
        if order
        else None,
        "subscriptions": [
            {"id": each.id, "status": each.status.value} for each in (purchase.subscriptions if purchase else ())
        ],
    }


def _state_table(state: PaymentState) -> Table:
    table = Table("payment", state.intent.id)
    table.add_row("attempt", state.attempt_id)
    table.add_row("stands as", _stands_as(state))
    if state.reason is not None:
        table.add_row("reason", state.reason)
        table.add_row("received", money_text(state.received))
        table.add_row("quarantined", time_text(state.quarantined_at))
        table.add_row("resolved", time_text(state.resolved_at))
        table.add_row("refund begun", time_text(state.refund_begun_at))
        table.add_row("kept cart", state.content.value)
    if state.purchase and state.purchase.order:
        order = state.purchase.order
        table.add_row("order", f"{order.number} ({order.status.value}), {order.id}")
        table.add_row("total", money_text(order.total))
        table.add_row("adjustment", money_text(order.adjustment))
    for each in state.purchase.subscriptions if state.purchase else ():
        table.add_row("subscription", f"{each.id}, {each.status.value}")
    return table


def _stands_as(state: PaymentState) -> str:
    return state.stands_as.value if state.stands_as else "unresolved"


def _cart_json(context: CheckoutContext | None, *, personal: bool) -> dict[str, Any] | None:
    if context is None:
        return None
    option, address = context.shipping_option, context.shipping_address
    cart: dict[str, Any] = {
        "items": [
            {"priceId": each.price_id, "name": each.name, "quantity": each.quantity, "amount": money_json(each.amount)}
            for each in context.items
        ],
        "shippingOptionId": option.shipping_rate_id if option else None,
        "total": money_json(context.total),
    }
    if personal:
        contact = context.contact
        cart["userId"] = context.user_id
        cart["contact"] = {"name": contact.name, "email": contact.email, "phone": contact.phone}
        cart["shippingAddress"] = address and {
            "line1": address.line1,
            "line2": address.line2,
            "city": address.city,
            "state": address.state,
            "postalCode": address.postal_code,
            "country": address.country,
        }
    return cart


def _cart_tables(context: CheckoutContext | None, *, personal: bool) -> list[Table]:
    if context is None:
        return []
    table = Table("line", "quantity", "amount", title="Cart")
    for each in context.items:
        table.add_row(each.name, str(each.quantity), money_text(each.amount))
    if context.shipping_option is not None:
        table.add_row(context.shipping_option.name, "", money_text(context.shipping_option.amount))
    table.add_row("total", "", money_text(context.total))
    if personal:
        buyer = Table("buyer", context.user_id or "guest")
        buyer.add_row("name", context.contact.name)
        buyer.add_row("e-mail", context.contact.email)
        buyer.add_row("phone", context.contact.phone or "-")
        if address := context.shipping_address:
            lines = (address.line1, address.line2, address.postal_code, address.city, address.state, address.country)
            buyer.add_row("address", ", ".join(each for each in lines if each))
        return [table, buyer]
    return [table]
