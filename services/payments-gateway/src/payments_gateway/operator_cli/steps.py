"""Parts that the verbs of quarantine, refunds and subscriptions share."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from payments_gateway.bootstrap.payments import PaymentUseCases, payment_use_cases
from payments_gateway.domain.settlements import OperatorAction
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.results import time_json, time_text
from payments_gateway.rpc.settlements import SettlementsClient

Reason = Annotated[
    str,
    typer.Option("--reason", help="Reason, for the record. It must name no buyer.", show_default=False),
]
PERSONAL_REASON: Final = "shown with --personal"


def settlements(connections: Connections) -> SettlementsClient:
    """Return the client of orders' rpcs for operators."""
    return SettlementsClient(connections.orders, timeout_seconds=connections.timeout_seconds)


def payment_use_cases_of(connections: Connections) -> PaymentUseCases:
    """Build the use cases that act on payments, as every process of the gateway does."""
    settings = connections.settings
    return payment_use_cases(
        connections.services,
        connections.stripe_clients,
        connections.ids,
        livemode=settings.livemode,
        now=partial(datetime.now, UTC),
    )


def actions_json(actions: Iterable[OperatorAction]) -> list[dict[str, Any]]:
    """Return steps as JSON."""
    return [
        {
            "at": time_json(each.at),
            "operator": each.operator,
            "action": each.action,
            "reason": each.reason,
            "before": json.loads(each.before),
            "after": json.loads(each.after),
        }
        for each in actions
    ]


def actions_table(actions: Iterable[OperatorAction]) -> Table:
    """Return steps for people."""
    table = Table("at", "operator", "step", "reason", title="Steps of operators")
    for each in actions:
        table.add_row(time_text(each.at), each.operator, each.action, each.reason)
    return table
