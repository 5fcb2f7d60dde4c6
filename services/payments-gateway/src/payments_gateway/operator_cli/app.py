"""The operator's command: `holdfast VERB`. Each verb has a module of its own."""

import sys
from collections.abc import Sequence
from typing import Final

import typer

from payments_gateway.operator_cli import audit, explain, quarantine, refund, subscriptions
from payments_gateway.operator_cli.results import ExitCode

EXIT_CODES: Final = """\b
Exit codes:
  0  done, or nothing differs
  1  something differs, was not found, or was refused for good
  2  arguments or settings are not valid; nothing was done
  3  Stripe or a service is unavailable; run the command again
  4  fault of this program
"""

app: Final = typer.Typer(
    name="holdfast",
    help="Prove that nothing is lost, and settle what a machine must not decide. The settings are those of the gateway "
    "(GATEWAY_*).",
    epilog=EXIT_CODES,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # examples keep their lines
    pretty_exceptions_enable=False,
)


@app.callback()
def _verbs() -> None:
    pass  # with it a single verb still needs its name


app.command("audit", epilog=audit.EXAMPLES)(audit.audit)
app.command("explain", epilog=explain.EXAMPLES)(explain.explain)
app.add_typer(quarantine.app, name="quarantine")
app.command("refund", epilog=refund.EXAMPLES)(refund.refund)
app.add_typer(subscriptions.app, name="subscriptions")


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb, and exit with its code."""
    try:
        app(args=None if argv is None else list(argv))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
