"""`holdfast audit`: Stripe against the books, both ways."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from payments_gateway.audit.audit import Audit, AuditReport
from payments_gateway.audit.differences import Difference
from payments_gateway.audit.retrying import Retrier
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.durations import duration
from payments_gateway.operator_cli.options import AsJson
from payments_gateway.operator_cli.progress import progress
from payments_gateway.operator_cli.results import ExitCode, Result, money_json, money_text, time_json, time_text
from payments_gateway.operator_cli.runner import run
from payments_gateway.rpc.attempts import AttemptsClient
from payments_gateway.rpc.audit import RecordedPaymentsClient
from payments_gateway.stripe_api.paid_intents import StripePaidIntents

_RETRIER: Final = Retrier()
EXAMPLES: Final = """\b
Examples:
  holdfast audit
  holdfast audit --since 30d --json
  holdfast audit --since 1h --grace 0s || page-somebody
"""


def audit(
    since: Annotated[
        timedelta, typer.Option(parser=duration, metavar="DURATION", help="Time that payments may have been made in.")
    ] = "7d",  # type: ignore[assignment]  # the parser reads the default, too
    grace: Annotated[
        timedelta,
        typer.Option(parser=duration, metavar="DURATION", help="Time that a difference gets to go away by itself."),
    ] = "2m",  # type: ignore[assignment]  # likewise
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Compare the succeeded payments at Stripe with the decisions in orders, both ways, sums and refunds too.

    It reads the intents that were created up to 35 days before the time asked for, because Stripe lists by creation.
    Exit code 0 means that every payment became exactly one purchase or one quarantined payment.
    """
    run(lambda connections: audited(connections, since, grace), as_json=as_json)


async def audited(connections: Connections, since: timedelta, grace: timedelta, retrier: Retrier = _RETRIER) -> Result:
    """Audit, and return the differences."""
    use_case = Audit(
        StripePaidIntents(connections.stripe),
        RecordedPaymentsClient(connections.orders, timeout_seconds=connections.timeout_seconds),
        AttemptsClient(connections.checkout_session, timeout_seconds=connections.timeout_seconds),
        connections.ids,
        livemode=connections.settings.livemode,
        grace_seconds=grace.total_seconds(),
        retrier=retrier,
        monotonic=time.monotonic,
    )
    with progress("intents at Stripe") as on_progress:
        report = await use_case.run(datetime.now(UTC) - since, on_progress)
    return Result(
        _document(report), [_table(report), _summary(report)], ExitCode.OK if report.agrees else ExitCode.REFUSED
    )


def _document(report: AuditReport) -> dict[str, Any]:
    return {
        "agrees": report.agrees,
        "createdFrom": time_json(report.created_from),
        "succeededAtStripe": report.succeeded,
        "foreignAtStripe": report.foreign,
        "purchases": report.purchases,
        "quarantined": report.quarantined,
        "differences": [_difference_json(each) for each in report.differences],
        "furtherDifferences": report.further,
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.kind.value,
        "intent": difference.intent.id,
        "attempt": difference.attempt_id,
        "atStripe": money_json(difference.at_stripe),
        "inOrders": money_json(difference.in_orders),
    }


def _table(report: AuditReport) -> Table | str:
    if report.agrees:
        return "No difference."
    table = Table("difference", "intent", "attempt", "at Stripe", "in orders")
    for each in report.differences:
        table.add_row(
            each.kind.value,
            each.intent.id,
            each.attempt_id or "-",
            money_text(each.at_stripe),
            money_text(each.in_orders),
        )
    if report.further:
        table.caption = f"and {report.further} more"
    return table


def _summary(report: AuditReport) -> str:
    return (
        f"Intents created since {time_text(report.created_from)}: "
        f"{report.succeeded} succeeded at Stripe, {report.purchases} purchases and {report.quarantined} quarantined "
        f"payments in orders. {report.foreign} of other software were left out."
    )
