"""The payments-gateway command: `payments-gateway serve` (the default) serves HTTP and stops in order on SIGTERM.

`payments-gateway reconcile` finishes what webhooks and buyers left undone.
"""

import gc
import logging
import sys
from collections.abc import Sequence
from typing import Final, TypeVar

import uvloop

from payments_gateway.commands.reconcile import add_reconcile_arguments, run_reconcile
from payments_gateway.commands.serve import serve
from payments_gateway.commands.webhook_endpoint import add_webhook_endpoint_arguments, run_webhook_endpoint
from payments_gateway.settings.backends import BackendSettings
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.json_logging import configure_logging
from servicekit.settings import parser_for, read_settings, warn_of_plaintext

S = TypeVar("S", bound=BackendSettings)

_VERBOSE_LOGGERS = ("stripe", "uvicorn")
"""Below WARNING they log every request, Stripe's with query strings and bodies (P7)."""
_COLLECTED_AFTER: Final = (20_000, 20, 100)
"""Allocations until the youngest objects are looked at, and such looks until those of the next generation are."""


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
    settings = _read(GatewaySettings, "payments-gateway", print_only=arguments.print_settings)
    _collect_garbage_seldom()
    uvloop.run(serve(settings))


def _collect_garbage_seldom() -> None:
    """Look for unreachable cycles after many allocations, and never among what was imported.

    By default Python looks after 700, several times for each request, and the more requests are in flight, the more
    objects it looks at in vain: a gateway under too much load would answer a sixth fewer.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


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
