"""The `stripe-simulator` command."""

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import stripe
import uvloop

from stripe_simulator.json_log import log_as_json
from stripe_simulator.rate_limits import UNLIMITED, RateLimits, limits_of_key
from stripe_simulator.resources.billing_portal import save_settings
from stripe_simulator.resources.webhook_endpoints import set_signing_secret
from stripe_simulator.sample_shop import create_sample_shop
from stripe_simulator.settings import QuickRetries, SimulatorSettings, WebhookSettings
from stripe_simulator.simulator import Simulator
from stripe_simulator.strict_mode import strict_mode

SECRET_KEY_VARIABLE: Final = "STRIPE_SIMULATOR_SECRET_KEY"  # noqa: S105 - the name of a variable
PUBLISHABLE_KEY_VARIABLE: Final = "STRIPE_SIMULATOR_PUBLISHABLE_KEY"
WEBHOOK_SECRET_VARIABLE: Final = "STRIPE_SIMULATOR_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
_SEEDS: Final = 2**31


def main(argv: Sequence[str] | None = None) -> None:
    """Listen until SIGTERM or SIGINT. Prints one JSON line with the address once it is ready."""
    options = _parser().parse_args(argv)
    log_as_json(sys.stderr, logging.INFO)
    uvloop.run(_serve(_settings(options), options))


async def _serve(settings: SimulatorSettings, options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    simulator = Simulator(settings, strict_mode())
    simulator.preparing = True
    async with simulator:
        simulator.state.rate_limiter.set(UNLIMITED)
        await _create_initial_data(simulator, options)
        simulator.state.rate_limiter.set(settings.rate_limits_in_force)
        simulator.preparing = False
        print(json.dumps({"url": simulator.url}), flush=True)  # noqa: T201 - the address is the command's output
        await stopping.wait()


async def _create_initial_data(simulator: Simulator, options: argparse.Namespace) -> None:
    stripe.enable_telemetry = False  # it would write a file into the user's home
    logging.getLogger("stripe").setLevel(logging.WARNING)  # the access log has these calls already
    client = stripe.StripeClient(
        simulator.settings.secret_key,
        base_addresses={"api": simulator.url},
        http_client=stripe.UrllibClient(),
    )
    if options.webhook_url:
        endpoint = await asyncio.to_thread(
            client.v1.webhook_endpoints.create, {"url": options.webhook_url, "enabled_events": ["*"]}
        )
        if secret := os.environ.get(WEBHOOK_SECRET_VARIABLE):
            set_signing_secret(simulator.state.account, endpoint.id, secret)
    if options.sample_shop:
        await asyncio.to_thread(create_sample_shop, client)
        save_settings(simulator.state.account)


def _seed(word: str) -> int:
    return secrets.randbelow(_SEEDS) if word == "random" else int(word)


def _settings(options: argparse.Namespace) -> SimulatorSettings:
    host, _, port = options.listen.rpartition(":")
    defaults = SimulatorSettings()
    return replace(
        defaults,
        host=host or defaults.host,
        port=int(port),
        secret_key=options.secret_key,
        publishable_key=options.publishable_key,
        seed=options.seed,
        event_list_lag_seconds=options.event_list_lag,
        webhooks=_webhooks(options),
        rate_limits=_rate_limits(options),
    )


def _webhooks(options: argparse.Namespace) -> WebhookSettings:
    if options.webhook_backoff is None:
        return WebhookSettings()
    return WebhookSettings(
        quick_retries=QuickRetries(
            backoff_base_seconds=options.webhook_backoff,
            backoff_max_seconds=options.webhook_backoff_max,
            max_attempts=options.webhook_attempts,
        )
    )


def _rate_limits(options: argparse.Namespace) -> RateLimits:
    if options.no_rate_limits:
        return UNLIMITED
    limits = limits_of_key(options.secret_key)
    account, operation = options.requests_per_second, options.operation_requests_per_second
    return RateLimits(
        limits.requests_per_second if account is None else account,
        limits.operation_requests_per_second if operation is None else operation,
    )


def _parser() -> argparse.ArgumentParser:
    defaults, quick = SimulatorSettings(), QuickRetries()
    parser = argparse.ArgumentParser(prog="stripe-simulator", description="A simulated Stripe API for tests and demos.")
    add = parser.add_argument
    add("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes any free one (default: %(default)s)")
    add(
        "--secret-key",
        default=os.environ.get(SECRET_KEY_VARIABLE) or defaults.secret_key,
        help=f"the accepted sk_test_ key (default: {SECRET_KEY_VARIABLE}, or {defaults.secret_key})",
    )
    add(
        "--publishable-key",
        default=os.environ.get(PUBLISHABLE_KEY_VARIABLE) or defaults.publishable_key,
        help=f"the pk_test_ key (default: {PUBLISHABLE_KEY_VARIABLE}, or {defaults.publishable_key})",
    )
    add(
        "--seed",
        type=_seed,
        default=defaults.seed,
        help="a number makes ids and secrets reproducible, `random` makes new ones (default: %(default)s)",
    )
    add("--sample-shop", action="store_true", help="create products, prices and shipping rates at the start")
    add(
        "--webhook-url",
        help=f"register an endpoint for all events at the start, with the secret {WEBHOOK_SECRET_VARIABLE} if set",
    )
    add("--requests-per-second", type=float, help="limit of all requests (default: Stripe's for the key's mode)")
    add("--operation-requests-per-second", type=float, help="limit of each operation (default: Stripe's)")
    add("--no-rate-limits", action="store_true", help="limit no requests")
    add(
        "--webhook-backoff",
        type=float,
        help="retry webhooks in real time, first after this many seconds (default: Stripe's schedule of hours)",
    )
    add("--webhook-backoff-max", type=float, default=quick.backoff_max_seconds, help="longest of these pauses")
    add("--webhook-attempts", type=int, default=quick.max_attempts, help="attempts before such a delivery fails")
    add(
        "--event-list-lag",
        type=float,
        default=defaults.event_list_lag_seconds,
        help="list each event up to this many seconds late, in another order than they happened (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
