"""Builds the gateway once, with every part's constructor in sight."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import stripe
from fastapi import FastAPI

from payments_gateway.api.app import create_app
from payments_gateway.api.bodies import ConfigBody
from payments_gateway.api.checkout import checkout_routes
from payments_gateway.api.operations import operations_routes
from payments_gateway.api.orders import order_routes
from payments_gateway.api.shop import shop_routes
from payments_gateway.api.webhook import webhook_routes
from payments_gateway.attempt_ids import AttemptIds
from payments_gateway.browser_return import BrowserReturn
from payments_gateway.checkout_status import CheckoutStatusReader
from payments_gateway.clients.attempt_client import AttemptClient
from payments_gateway.clients.orders_client import OrdersClient
from payments_gateway.clients.readiness import catalogue_known, serving
from payments_gateway.clients.stripe_catalogue import StripeCatalogue
from payments_gateway.clients.stripe_http import StripeHttp
from payments_gateway.clients.stripe_intents import StripeIntents
from payments_gateway.clients.stripe_webhooks import StripeWebhooks
from payments_gateway.fulfilment import Fulfilment
from payments_gateway.identity import TokenVerifier
from payments_gateway.initiate import Initiate
from payments_gateway.price_book import PriceBook
from payments_gateway.settings import GatewaySettings
from payments_gateway.settlement import Settlement
from payments_gateway.supersede import Supersede
from servicekit.grpc_client import open_channel
from servicekit.health import Readiness

stripe.enable_telemetry = False  # it writes a file


@asynccontextmanager
async def gateway(settings: GatewaySettings) -> AsyncIterator[FastAPI]:
    """Yield the app with everything it needs open; close it all on leaving."""
    async with AsyncExitStack() as stack:
        session_channel = await stack.enter_async_context(open_channel(settings.checkout_session_target))
        orders_channel = await stack.enter_async_context(open_channel(settings.orders_target))
        stripe_http = StripeHttp(timeout=settings.stripe_timeout_seconds)
        stack.push_async_callback(stripe_http.close_async)
        stripe_client = _stripe_client(settings, stripe_http)

        attempts = AttemptClient(session_channel, timeout_seconds=settings.service_timeout_seconds)
        orders = OrdersClient(orders_channel, timeout_seconds=settings.service_timeout_seconds)
        intents = StripeIntents(stripe_client)
        book = PriceBook(
            StripeCatalogue(stripe_client),
            refresh_seconds=settings.catalogue_refresh_seconds,
            max_age_seconds=settings.catalogue_max_age_seconds,
            monotonic=time.monotonic,
        )
        fulfilment = Fulfilment(attempts, orders, livemode=settings.livemode)
        settlement = Settlement(fulfilment, orders)
        initiate = Initiate(
            ids=AttemptIds(settings.attempt_id_secret.get_secret_value().encode()),
            book=book,
            intents=intents,
            attempts=attempts,
            supersede=Supersede(attempts, intents, settlement),
            settlement=settlement,
            pay_by=timedelta(hours=settings.pay_by_hours),
            now=lambda: datetime.now(UTC),
        )
        readiness = Readiness(
            [
                serving("checkout-session", session_channel),
                serving("orders", orders_channel),
                catalogue_known(book),
            ]
        )
        await stack.enter_async_context(book.kept_fresh())
        yield create_app(
            [
                checkout_routes(
                    initiate,
                    BrowserReturn(attempts, orders, intents, fulfilment),
                    CheckoutStatusReader(attempts, orders, intents),
                ),
                order_routes(orders),
                webhook_routes(
                    StripeWebhooks(
                        [secret.get_secret_value() for secret in settings.stripe_webhook_secrets], now=time.time
                    ),
                    fulfilment,
                ),
                shop_routes(
                    book,
                    ConfigBody(publishable_key=settings.stripe_publishable_key, stripe_js_url=settings.stripe_js_url),
                ),
                operations_routes(readiness),
            ],
            verifier=_verifier(settings),
            cors_origins=settings.cors_origins,
            deadline_seconds=settings.request_deadline_seconds,
        )


def _stripe_client(settings: GatewaySettings, http: stripe.HTTPClient) -> stripe.StripeClient:
    return stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        http_client=http,
        base_addresses={"api": settings.stripe_api_base},
        max_network_retries=settings.stripe_max_retries,
    )


def _verifier(settings: GatewaySettings) -> TokenVerifier:
    return TokenVerifier(
        settings.jwt_secret.get_secret_value() if settings.jwt_secret else None,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        allow_guests=settings.allow_guests,
    )
