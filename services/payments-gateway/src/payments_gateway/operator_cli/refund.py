"""`holdfast refund`: money of an order given back."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

import typer
from rich.table import Table

from payments_gateway.domain.refunds import RefundStatus
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.options import AsJson, OperatorName
from payments_gateway.operator_cli.results import ExitCode, Result, money_json, money_text
from payments_gateway.operator_cli.runner import run
from payments_gateway.operator_cli.steps import Reason, payment_use_cases_of, settlements
from payments_gateway.refunds.order_refund import OrderRefundRequest, RefundOrder
from payments_gateway.stripe_api.refunds import StripeRefunds

_FAILED: Final = (RefundStatus.FAILED, RefundStatus.CANCELED)
EXAMPLES: Final = """\b
Examples:
  holdfast refund K7M-2QX-9FW --reason "returned, ticket 4711"
  holdfast refund K7M-2QX-9FW --amount 500 --reason "one mug was broken"
  holdfast refund K7M-2QX-9FW --amount 500 --number 2 --reason "the other mug was broken, too"
"""


def refund(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="Order number or id.", show_default=False)],
    *,
    reason: Reason,
    operator: OperatorName,
    amount: Annotated[
        int | None, typer.Option("--amount", min=1, help="Minor units; else all that is not refunded yet.")
    ] = None,
    number: Annotated[int, typer.Option("--number", min=1, help="Tells refunds of the same amount apart.")] = 1,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Idempotency key at Stripe; else made of the order, the amount and the number."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Refund an order, or a part of it, once for each amount and number. Safe to repeat, also by another operator.

    Exit code 1 if the refund failed.
    """
    request = OrderRefundRequest(operator, reason, order, amount, number, key)
    run(partial(refunded, request=request), as_json=as_json)


async def refunded(connections: Connections, *, request: OrderRefundRequest) -> Result:
    """Refund an order."""
    use_case = RefundOrder(
        settlements(connections),
        StripeRefunds(connections.stripe),
        payment_use_cases_of(connections).refunds,
        partial(datetime.now, UTC),
    )
    done = await use_case.refund(request)
    order = (await settlements(connections).find_order(done.order_id)).order
    document = {
        "order": {"id": order.id, "number": order.number, "status": order.status.value},
        "refund": done.refund_id,
        "amount": money_json(done.amount),
        "status": done.outcome,
        "idempotencyKey": done.idempotency_key,
        "refunded": money_json(order.refunded),
    }
    table = Table("refund", done.refund_id or "-")
    for name, value in (
        ("order", f"{order.number} ({order.status.value})"),
        ("amount", money_text(done.amount)),
        ("status", done.outcome or "-"),
        ("key", done.idempotency_key),
        ("refunded in all", money_text(order.refunded)),
    ):
        table.add_row(name, value)
    return Result(document, [table], ExitCode.REFUSED if done.outcome in _FAILED else ExitCode.OK)
