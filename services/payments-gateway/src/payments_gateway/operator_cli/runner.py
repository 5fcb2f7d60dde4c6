"""Runs a verb: settings and connections before it, its output and exit code after it."""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn

import typer
from rich.console import Console

from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.settlements import StepRefused
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    StripeKeyRefused,
    StripePermissionMissing,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.domain.subscriptions import SubscriptionNotFound
from payments_gateway.operator_cli.connections import Connections, connected
from payments_gateway.operator_cli.results import ExitCode, Refused, Result, UsageFault
from payments_gateway.settings.gateway import GatewaySettings
from servicekit.json_logging import configure_logging
from servicekit.settings import read_settings
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import InvalidRequest

_log = logging.getLogger(__name__)

Verb = Callable[[Connections], Awaitable[Result]]

_WIDTH_WITHOUT_TERMINAL: Final = 200
"""Columns of a table in a file or a pipe: ids stay whole."""

ERRORS: Final[Mapping[type[Exception], tuple[ExitCode, str]]] = {
    Refused: (ExitCode.REFUSED, "{error}"),
    StepRefused: (ExitCode.REFUSED, "refused: {error}"),
    SubscriptionNotFound: (ExitCode.REFUSED, "there is no such subscription"),
    ConflictRetriesExhausted: (ExitCode.UNAVAILABLE, "others changed it at the same time; run the command again"),
    VersionConflict: (ExitCode.REFUSED, "it changed meanwhile: look at it again"),
    IdempotencyKeyExhausted: (
        ExitCode.UNAVAILABLE,
        "Stripe failed under this idempotency key, perhaps after its effect: look there before you try another one",
    ),
    UsageFault: (ExitCode.USAGE, "{error}"),
    InvalidRequest: (ExitCode.USAGE, "{error}"),
    StripeKeyRefused: (ExitCode.UNAVAILABLE, "Stripe refuses the key of GATEWAY_STRIPE_SECRET_KEY"),
    StripePermissionMissing: (
        ExitCode.UNAVAILABLE,
        "the restricted key may not do this: see the log for what it lacks",
    ),
    UnsupportedStripeObject: (
        ExitCode.UNAVAILABLE,
        "this version cannot read what Stripe answered, perhaps after the effect: look there, and update holdfast",
    ),
    StripeUnavailable: (ExitCode.UNAVAILABLE, "Stripe is unavailable; run the command again"),
    ServiceUnavailable: (ExitCode.UNAVAILABLE, "{error}; run the command again"),
}
"""Exit code and message of each exception, found along its MRO. Others are faults of this program."""


def run(verb: Verb, *, as_json: bool) -> NoReturn:
    """Run a verb with everything connected, print its result, and exit with its code."""
    settings = read_settings(GatewaySettings)
    configure_logging("holdfast", "WARNING")
    raise typer.Exit(asyncio.run(_exit_code(settings, verb, as_json=as_json)))


async def _exit_code(settings: GatewaySettings, verb: Verb, *, as_json: bool) -> ExitCode:
    try:
        async with connected(settings) as connections:
            result = await verb(connections)
    except asyncio.CancelledError:  # Ctrl-C
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where the unknown becomes an exit code
        return _explain(error)
    _print(result, as_json=as_json)
    return result.exit_code


def _explain(error: Exception) -> ExitCode:
    for kind in type(error).__mro__:
        if kind in ERRORS:
            code, message = ERRORS[kind]
            _say(message.format(error=error))
            return code
    _log.error("verb failed", exc_info=error)
    _say("failed: the log above says where")
    return ExitCode.FAILED


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result.document, indent=2) + "\n")
        return
    console = Console(soft_wrap=False, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    for part in result.shown:
        console.print(part, markup=False)


def _say(message: str) -> None:
    sys.stderr.write(f"holdfast: {message}\n")
