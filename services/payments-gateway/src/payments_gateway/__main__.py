"""The payments-gateway command: `payments-gateway serve` (the default) serves HTTP and stops in order on SIGTERM.

`payments-gateway reconcile` finishes what webhooks and buyers left undone.
"""

import logging
import sys
from collections.abc import Sequence
from typing import TypeVar

from payments_gateway.commands.reconcile import add_reconcile_arguments, run_reconcile
from payments_gateway.commands.serve import serve
from payments_gateway.commands.webhook_endpoint import add_webhook_endpoint_arguments, run_webhook_endpoint
from payments_gateway.settings.backends import BackendSettings
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.event_loop import run_service
from servicekit.json_logging import configure_logging
from servicekit.settings import parser_for, read_settings, warn_of_plaintext

S = TypeVar("S", bound=BackendSettings)

_VERBOSE_LOGGERS = ("stripe", "uvicorn")
"""Below WARNING they log every request, Stripe's with query strings and bodies (P7)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command, by default the gateway until a signal stops it."""
    parser = parser_for(GatewaySettings)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve HTTP until SIGTERM (the default)")
    webhook_endpoint = commands.add_parser("webhook-endpoint", help="the webhook endpoint at Stripe")
    add_webhook_endpoint_arguments(webhook_endpoint)
    reconcile = commands.add_parser("reconcile", help="finish what webhooks and buyers left undone, until SIGTERM")
    add_reconcile_arguments(reconcile)
    arguments = parser.parse_args(argv)
    if arguments.command == "webhook-endpoint":
        sys.exit(run_webhook_endpoint(arguments))
    if arguments.command == "reconcile":
        reconciling = _read(ReconcilerSettings, "reconciler", print_only=arguments.print_settings)
        sys.exit(run_reconcile(reconciling, once=arguments.once))
    run_service(serve(_read(GatewaySettings, "payments-gateway", print_only=arguments.print_settings)))


def _read(settings_class: type[S], service: str, *, print_only: bool) -> S:
    """Read the settings of a process, and begin to log as it."""
    settings = read_settings(settings_class, print_only=print_only)
    configure_logging(service, settings.log_level)
    warn_of_plaintext(settings)
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return settings


if __name__ == "__main__":
    main()
