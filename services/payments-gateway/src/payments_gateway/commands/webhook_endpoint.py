"""`payments-gateway webhook-endpoint ensure`: creates or corrects the webhook endpoint at Stripe (ADR 37).

Standard output has the signing secret of a created endpoint and nothing else; it is written nowhere else.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import stripe

from payments_gateway.settings.backends import StripeSettings
from payments_gateway.stripe_api.calls import UNREADABLE
from payments_gateway.stripe_api.http import stripe_session
from payments_gateway.stripe_api.webhook_endpoints import StripeWebhookEndpoints, WebhookEndpoint
from payments_gateway.stripe_api.webhooks import EVENT_TYPES
from servicekit.settings import read_settings

DONE: Final = 0
FAILED: Final = 1
DIFFERS: Final = 3

_URL: Final = re.compile(r"https?://[^\s/@?#]+(/[^\s#]*)?")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20)
_MAX_RETRIES: Final = 3
_MAX_GENERATIONS: Final = 20
"""Endpoints that are created and deleted again, or refused, within a day, before the command gives up."""


def add_webhook_endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ensure = actions.add_parser("ensure", help="create or correct the endpoint, and say what was changed")
    ensure.add_argument("--url", type=_url, required=True, help="https://<gateway>/api/stripe/webhook")
    ensure.add_argument("--check", action="store_true", help=f"change nothing; exit with {DIFFERS} if it differs")


def run_webhook_endpoint(arguments: argparse.Namespace) -> int:
    """Run the command, and return its exit code."""
    settings = read_settings(StripeSettings)
    return asyncio.run(ensure(settings, arguments.url, check=arguments.check))


async def ensure(settings: StripeSettings, url: str, *, check: bool = False) -> int:
    """Let exactly our types of events in our API version be sent to a URL. With check, only compare."""
    try:
        async with _endpoints(settings) as endpoints:
            return await (_check(endpoints, url) if check else _ensure(endpoints, url))
    except stripe.AuthenticationError:
        return _fail("Stripe refuses the key of GATEWAY_STRIPE_SECRET_KEY")
    except stripe.PermissionError:
        return _fail("the restricted key may not do this: it needs the permission rak_webhook_write")
    except stripe.InvalidRequestError as error:
        return _fail(f"Stripe refuses the endpoint: {error.user_message}")
    except (stripe.StripeError, aiohttp.ClientError, *UNREADABLE):  # the library passes truncated responses on
        return _fail("Stripe is unavailable; run the command again")


async def _check(endpoints: StripeWebhookEndpoints, url: str) -> int:
    ours, others = _divide(await endpoints.find_all(url))
    _say_others(others)
    if ours is None:
        _say(f"missing: no endpoint sends events in API version {stripe.api_version} to {url}")
        return DIFFERS
    if ours.differences:
        _say(f"{ours.id} differs: {', '.join(ours.differences)}")
        return DIFFERS
    _say(f"{ours.id} is as it must be")
    return DONE


async def _ensure(endpoints: StripeWebhookEndpoints, url: str) -> int:
    for generation in range(_MAX_GENERATIONS):
        # Looked up before each try: a create may have succeeded although Stripe stored a failure for it.
        ours, others = _divide(await endpoints.find_all(url))
        if ours is not None:
            await _correct(endpoints, ours)
            _say_others(others)
            return DONE
        created = await endpoints.create(url, generation=generation)
        if created is not None:
            sys.stdout.write(f"{created.signing_secret}\n")
            _say(f"created {created.id}: {len(EVENT_TYPES)} types of events, API version {stripe.api_version}")
            _say("its signing secret is on standard output: put it first in GATEWAY_STRIPE_WEBHOOK_SECRETS")
            _say_others(others)
            return DONE
    return _fail("the endpoint was created and deleted, or refused, too often today; run the command again tomorrow")


async def _correct(endpoints: StripeWebhookEndpoints, ours: WebhookEndpoint) -> None:
    if ours.differences:
        await endpoints.correct(ours.id)
        _say(f"corrected {ours.id}: {', '.join(ours.differences)}")
    else:
        _say(f"{ours.id} is as it must be: nothing changed")
    _say("its signing secret was shown when it was created; Stripe's Dashboard shows it, too")


def _divide(found: Sequence[WebhookEndpoint]) -> tuple[WebhookEndpoint | None, list[WebhookEndpoint]]:
    """Return the endpoint that can be ours and needs the fewest changes, and the others.

    One that sends is preferred: the gateways know its secret, and enabling another one would let two send.
    """
    candidates = [endpoint for endpoint in found if endpoint.can_be_ours]
    ours = min(candidates, key=lambda endpoint: (not endpoint.enabled, len(endpoint.differences)), default=None)
    return ours, [endpoint for endpoint in found if endpoint is not ours]


def _say_others(others: Sequence[WebhookEndpoint]) -> None:
    for other in others:
        if not other.enabled:
            _say(f"{other.id} has this URL, too, but is disabled: it can be deleted at Stripe")
        elif other.for_connected_accounts:
            _say(f"{other.id} sends this URL the events of connected accounts, which the gateway ignores")
        else:
            _say(
                f"{other.id} sends to this URL, too, in API version {other.api_version or '(default of the account)'}. "
                "GATEWAY_STRIPE_WEBHOOK_SECRETS needs both secrets until it is deleted at Stripe: delete it once every "
                "gateway knows the other's"
            )


@asynccontextmanager
async def _endpoints(settings: StripeSettings) -> AsyncIterator[StripeWebhookEndpoints]:
    stripe.enable_telemetry = False  # it writes a file
    async with stripe_session(max_connections=1) as session:
        client = stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            http_client=stripe.AIOHTTPClient(timeout=_TIMEOUT, session=session),
            base_addresses={"api": settings.stripe_api_base},
            max_network_retries=_MAX_RETRIES,
        )
        yield StripeWebhookEndpoints(client)


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise argparse.ArgumentTypeError("must be an http(s) URL without a user or fragment")
    return text


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _fail(message: str) -> int:
    _say(f"payments-gateway webhook-endpoint: {message}")
    return FAILED
