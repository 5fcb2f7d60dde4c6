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
from pathlib import Path

import stripe
import uvloop

from stripe_simulator.json_log import log_as_json
from stripe_simulator.resources.webhook_endpoints import sign_with
from stripe_simulator.sample_shop import create_sample_shop
from stripe_simulator.settings import SimulatorSettings, WebhookSettings
from stripe_simulator.simulator import Simulator

SECRET_KEY_VARIABLE = "STRIPE_SIMULATOR_SECRET_KEY"  # noqa: S105 - a variable's name
PUBLISHABLE_KEY_VARIABLE = "STRIPE_SIMULATOR_PUBLISHABLE_KEY"
WEBHOOK_SECRET_VARIABLE = "STRIPE_SIMULATOR_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
_SEEDS = 2**31


def main(argv: Sequence[str] | None = None) -> None:
    """Listen until SIGTERM or SIGINT. Prints one JSON line with the address once it listens."""
    options = _parser().parse_args(argv)
    log_as_json(sys.stderr, logging.WARNING if options.quiet else logging.INFO)
    uvloop.run(_serve(_settings(options), options))


async def _serve(settings: SimulatorSettings, options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    simulator = Simulator(settings)
    simulator.preparing = True
    async with simulator:
        await _prepare(simulator, options)
        simulator.preparing = False
        _announce(simulator.url, options.ready_file)
        await stopping.wait()


async def _prepare(simulator: Simulator, options: argparse.Namespace) -> None:
    """Make through the API, before anybody is told that it is there, what the options ask for."""
    stripe.enable_telemetry = False  # it would write a file into a home
    logging.getLogger("stripe").setLevel(logging.WARNING)  # our own calls are in the access log
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
            sign_with(simulator.state.account, endpoint.id, secret)
    if options.sample_shop:
        await asyncio.to_thread(create_sample_shop, client)


def _announce(url: str, ready_file: Path | None) -> None:
    line = json.dumps({"url": url})
    print(line, flush=True)  # noqa: T201 - the address is this command's output
    if ready_file:
        # Written beside and moved, so that whoever polls for it never reads half a line.
        unfinished = ready_file.with_name(ready_file.name + ".part")
        unfinished.write_text(line + "\n")
        unfinished.replace(ready_file)


def _seed(word: str) -> int:
    return secrets.randbelow(_SEEDS) if word == "random" else int(word)


def _settings(options: argparse.Namespace) -> SimulatorSettings:
    host, _, port = options.listen.rpartition(":")
    webhooks = WebhookSettings(
        concurrency=options.webhook_concurrency,
        timeout_seconds=options.webhook_timeout,
        backoff_base_seconds=options.webhook_backoff,
        backoff_max_seconds=options.webhook_backoff_max,
        max_attempts=options.webhook_attempts,
    )
    defaults = SimulatorSettings()
    return replace(
        defaults,
        host=host or defaults.host,
        port=int(port),
        secret_key=options.secret_key,
        publishable_key=options.publishable_key,
        seed=options.seed,
        settlement_seconds=options.settlement_seconds,
        webhooks=webhooks,
    )


def _parser() -> argparse.ArgumentParser:
    plain, webhooks = SimulatorSettings(), WebhookSettings()
    parser = argparse.ArgumentParser(prog="stripe-simulator", description="A stand-in for Stripe's API on loopback.")
    add = parser.add_argument
    add("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes any free one (default: %(default)s)")
    add(
        "--secret-key",
        default=os.environ.get(SECRET_KEY_VARIABLE) or plain.secret_key,
        help=f"the only accepted sk_test_ key (default: {SECRET_KEY_VARIABLE}, or {plain.secret_key})",
    )
    add(
        "--publishable-key",
        default=os.environ.get(PUBLISHABLE_KEY_VARIABLE) or plain.publishable_key,
        help=f"the pk_test_ key (default: {PUBLISHABLE_KEY_VARIABLE}, or {plain.publishable_key})",
    )
    add(
        "--seed",
        type=_seed,
        default=plain.seed,
        help="a number makes ids and secrets reproducible, `random` makes new ones (default: %(default)s)",
    )
    add("--sample-shop", action="store_true", help="begin with products, prices and shipping rates on sale")
    add(
        "--webhook-url",
        help=f"begin with an endpoint that hears of every event, signed with {WEBHOOK_SECRET_VARIABLE} if that is set",
    )
    add("--ready-file", type=Path, help="written, with the line that is printed, once the simulator listens")
    add("--settlement-seconds", type=float, default=plain.settlement_seconds, help="how long debits are processing")
    add("--webhook-concurrency", type=int, default=webhooks.concurrency, help="deliveries at the same time")
    add("--webhook-timeout", type=float, default=webhooks.timeout_seconds, help="seconds for one try")
    add("--webhook-backoff", type=float, default=webhooks.backoff_base_seconds, help="seconds before the first retry")
    add("--webhook-backoff-max", type=float, default=webhooks.backoff_max_seconds, help="longest pause in seconds")
    add("--webhook-attempts", type=int, default=webhooks.max_attempts, help="tries before a delivery is given up")
    add("--quiet", action="store_true", help="no access log")
    return parser


if __name__ == "__main__":
    main()
