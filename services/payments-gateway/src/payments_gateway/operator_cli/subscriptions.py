"""`holdfast subscriptions`: bought subscriptions that Stripe refused to create."""

from functools import partial
from typing import Annotated, Final

import typer
from rich.table import Table

from payments_gateway.domain.settlements import OperatorStep
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.operator_cli.connections import Connections
from payments_gateway.operator_cli.options import AsJson, OperatorName
from payments_gateway.operator_cli.results import ExitCode, Result
from payments_gateway.operator_cli.runner import run
from payments_gateway.operator_cli.steps import Reason, payment_use_cases_of, settlements

EXAMPLES: Final = """\b
Examples:
  holdfast subscriptions retry 6f1c2a9e-0b7d-4c55-9a51-2f7f3c1f1d10 --reason "the price is active again"
  holdfast subscriptions retry 6f1c2a9e-0b7d-4c55-9a51-2f7f3c1f1d10 --payment-method pm_1Q0 --reason "new card"
  holdfast subscriptions give-up 6f1c2a9e-0b7d-4c55-9a51-2f7f3c1f1d10 --reason "the buyer does not want it"
"""

app: Final = typer.Typer(
    help="Bought subscriptions that Stripe refused to create: try again, or give them up.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)

SubscriptionId = Annotated[str, typer.Argument(metavar="ID", help="Id of the subscription.", show_default=False)]


@app.command("retry", epilog=EXAMPLES)
def retry(
    subscription: SubscriptionId,
    *,
    reason: Reason,
    operator: OperatorName,
    payment_method: Annotated[
        str | None, typer.Option("--payment-method", help="Stripe PaymentMethod of its customer; else the present one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a failed activation begin again. Exit code 1 if Stripe refuses again."""
    step = OperatorStep(operator, reason)
    run(partial(retried, step=step, subscription_id=subscription, payment_method_id=payment_method), as_json=as_json)


@app.command("give-up", epilog=EXAMPLES)
def give_up(
    subscription: SubscriptionId,
    *,
    reason: Reason,
    operator: OperatorName,
    as_json: AsJson = False,
) -> None:
    """Give up a subscription whose activation failed: nothing creates it any more."""
    step = OperatorStep(operator, reason)
    run(partial(given_up, step=step, subscription_id=subscription), as_json=as_json)


async def retried(
    connections: Connections, *, step: OperatorStep, subscription_id: str, payment_method_id: str | None
) -> Result:
    """Begin an activation again, and create the subscription as far as Stripe lets it now."""
    pending = await settlements(connections).retry_subscription(step, subscription_id, payment_method_id)
    try:
        current = await payment_use_cases_of(connections).activation.activate(pending.id)
    except StripeUnavailable:
        return _result(pending, "It stays pending: the reconciler creates it.")
    refused = current.status is SubscriptionStatus.ACTIVATION_FAILED
    return _result(current, None, ExitCode.REFUSED if refused else ExitCode.OK)


async def given_up(connections: Connections, *, step: OperatorStep, subscription_id: str) -> Result:
    """Give a subscription up at the version that is read now."""
    current = await connections.services.subscriptions.get_subscription(subscription_id)
    return _result(await settlements(connections).give_up_subscription(step, current.id, current.version), None)


def _result(subscription: Subscription, note: str | None, code: ExitCode = ExitCode.OK) -> Result:
    document = {
        "id": subscription.id,
        "status": subscription.status.value,
        "stripeSubscription": subscription.stripe_subscription_id,
        "failure": subscription.activation_failure,
    }
    table = Table("subscription", subscription.id)
    table.add_row("status", subscription.status.value)
    table.add_row("at Stripe", subscription.stripe_subscription_id or "-")
    table.add_row("failure", subscription.activation_failure or "-")
    return Result(document, [table, *([note] if note else [])], code)
