"""`holdfast explain`: everything that is known about one checkout."""

from typing import Annotated, Final

import typer
from rich.table import Table

from payments_gateway.domain.attempts import FoundAttempt, Tombstone, UnreadableAttempt
from payments_gateway.domain.purchases import Purchase
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.options import AsJson
from payments_gateway.operator_cli.results import Refused, Result
from payments_gateway.operator_cli.runner import run
from payments_gateway.rpc.attempts import AttemptsClient
from payments_gateway.rpc.orders import OrdersClient

EXAMPLES: Final = """\b
Examples:
  holdfast explain 0b9f5a3c-7d1e-8c2f-9a4b-5d6e7f809a1b
"""


def explain(
    subject: Annotated[str, typer.Argument(metavar="ATTEMPT", help="Attempt id.", show_default=False)],
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show what Redis and PostgreSQL know about a checkout."""
    run(lambda connections: explained(connections, subject), as_json=as_json)


async def explained(connections: Connections, attempt_id: str) -> Result:
    """Return what the services know about an attempt."""
    timeout_seconds = connections.timeout_seconds
    found = await AttemptsClient(connections.checkout_session, timeout_seconds=timeout_seconds).find(attempt_id)
    purchase = await OrdersClient(connections.orders, timeout_seconds=timeout_seconds).find_purchase(attempt_id)
    if found is None and purchase is None:
        raise Refused("no attempt and no purchase has this id")
    facts = {"attempt": _state(found), "purchase": _bought(purchase)}
    table = Table("what", "state")
    for what, state in facts.items():
        table.add_row(what, state or "-")
    return Result(facts, [table])


def _state(found: FoundAttempt | None) -> str | None:
    match found:
        case None:
            return None
        case Tombstone(reason=reason):
            return f"deleted: {reason.value}"
        case UnreadableAttempt():
            return "unreadable"
    return f"closed: {found.close_reason.value}" if found.close_reason else "open"


def _bought(purchase: Purchase | None) -> str | None:
    if purchase is None:
        return None
    return purchase.order.number if purchase.order else f"{len(purchase.subscriptions)} subscriptions"
