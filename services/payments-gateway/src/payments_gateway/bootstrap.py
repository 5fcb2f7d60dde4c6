"""Builds the gateway once, with every part's constructor in sight."""

import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import aiohttp
import grpc
import stripe
from fastapi import FastAPI

from payments_gateway.access.client_addresses import ClientAddresses
from payments_gateway.access.jwks_cache import JwksCache
from payments_gateway.access.jwks_client import JwksClient
from payments_gateway.access.rate_limits import Rate, RateLimiter
from payments_gateway.access.tokens import SharedSecret, TokenKeys, TokenValidation, TokenVerifier
from payments_gateway.api.app import create_app
from payments_gateway.api.bodies import ConfigBody
from payments_gateway.api.callers import AccessControl
from payments_gateway.api.checkout import checkout_routes
from payments_gateway.api.operations import operations_routes
from payments_gateway.api.orders import order_routes
from payments_gateway.api.shop import shop_routes
from payments_gateway.api.subscriptions import subscription_routes
from payments_gateway.api.webhook import webhook_routes
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.catalogue_cache import CatalogueCache
from payments_gateway.checkout.complete import CompleteCheckout
from payments_gateway.checkout.customers import Customers
from payments_gateway.checkout.initiate import Initiate
from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.checkout.status import CheckoutStatusReader
from payments_gateway.checkout.supersede import Supersede
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import ChargeRefunds, StripeMirror
from payments_gateway.rpc.attempts import AttemptsClient
from payments_gateway.rpc.customers import CustomersClient
from payments_gateway.rpc.orders import OrdersClient
from payments_gateway.rpc.readiness import serving
from payments_gateway.rpc.refunds import DisputesClient, RefundsClient
from payments_gateway.rpc.subscriptions import SubscriptionsClient
from payments_gateway.settings import GatewaySettings
from payments_gateway.stripe_api.catalogue import StripeCatalogue
from payments_gateway.stripe_api.customers import StripeCustomers
from payments_gateway.stripe_api.http import StripeHttp, stripe_session
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.rate_limiter import Priority, StripeLimiter
from payments_gateway.stripe_api.refunds import StripeDisputes, StripeRefunds
from payments_gateway.stripe_api.single_flight import SingleFlightIntents
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions
from payments_gateway.stripe_api.webhooks import StripeWebhooks
from payments_gateway.subscriptions.activation import Activation
from payments_gateway.subscriptions.cancel import SubscriptionCancel
from payments_gateway.subscriptions.incomplete_payments import IncompletePayments
from payments_gateway.subscriptions.sync import SubscriptionSync
from payments_gateway.webhook_dispatcher import WebhookDispatcher
from servicekit.certificates import Certificates
from servicekit.grpc_client import open_channel
from servicekit.health import Readiness

stripe.enable_telemetry = False  # it writes a file

_HASH_SECRET_BYTES = 16


@asynccontextmanager
async def gateway(settings: GatewaySettings) -> AsyncIterator[FastAPI]:
    """Yield the app with everything it needs open; close it all on leaving."""
    async with AsyncExitStack() as stack:
        certificates = Certificates("grpc", settings.tls) if settings.tls else None
        session_channel, orders_channel = [
            await stack.enter_async_context(open_channel(target, certificates=certificates))
            for target in (settings.checkout_session_target, settings.orders_target)
        ]
        connections = stripe_session(max_connections=settings.stripe_max_concurrent)
        stripe_road = partial(
            _stripe_client, settings, await stack.enter_async_context(connections), _stripe_limiter(settings)
        )
        glances = stripe_road(Priority.LOW)

        attempts = AttemptsClient(session_channel, timeout_seconds=settings.service_timeout_seconds)
        orders = OrdersClient(orders_channel, timeout_seconds=settings.service_timeout_seconds)
        intents = StripeIntents(stripe_road(Priority.HIGH))
        catalogue = CatalogueCache(
            StripeCatalogue(glances),
            refresh_seconds=settings.catalogue_refresh_seconds,
            max_age_seconds=settings.catalogue_max_age_seconds,
            pause_seconds=settings.catalogue_pause_seconds,
            monotonic=time.monotonic,
        )
        subscriptions = SubscriptionsClient(orders_channel, timeout_seconds=settings.service_timeout_seconds)
        billing = StripeSubscriptions(stripe_road(Priority.HIGH))
        activation = Activation(subscriptions, billing, now=lambda: datetime.now(UTC))
        fulfilment = Fulfilment(attempts, orders, activation, livemode=settings.livemode)
        patient_billing = StripeSubscriptions(glances)
        sync = SubscriptionSync(subscriptions, patient_billing, activation, livemode=settings.livemode)
        incomplete_payments = IncompletePayments(patient_billing)
        payment_guard = PaymentGuard(fulfilment, orders)
        initiate = Initiate(
            ids=AttemptIds(settings.attempt_id_secret.get_secret_value().encode()),
            catalogue=catalogue,
            intents=intents,
            customers=Customers(
                StripeCustomers(stripe_road(Priority.HIGH)),
                CustomersClient(orders_channel, timeout_seconds=settings.service_timeout_seconds),
            ),
            attempts=attempts,
            supersede=Supersede(attempts, intents, payment_guard),
            payment_guard=payment_guard,
            pay_by=timedelta(hours=settings.pay_by_hours),
            now=lambda: datetime.now(UTC),
        )
        jwks = _issuer_keys(settings)
        readiness = Readiness(
            [
                serving("checkout-session", session_channel),
                serving("orders", orders_channel),
                catalogue.check_ready,
                *([jwks.check_ready] if jwks else []),
            ]
        )
        await stack.enter_async_context(catalogue.refresh_in_background())
        if jwks is not None:
            await stack.enter_async_context(jwks.refresh_in_background())
        yield create_app(
            [
                checkout_routes(
                    initiate,
                    CompleteCheckout(attempts, orders, intents, fulfilment),
                    CheckoutStatusReader(
                        attempts, orders, SingleFlightIntents(StripeIntents(glances)), incomplete_payments
                    ),
                ),
                order_routes(orders),
                subscription_routes(
                    subscriptions, incomplete_payments, SubscriptionCancel(subscriptions, billing, sync)
                ),
                webhook_routes(
                    StripeWebhooks(
                        [secret.get_secret_value() for secret in settings.stripe_webhook_secrets], now=time.time
                    ),
                    _webhook_dispatcher(settings, glances, orders_channel, fulfilment, sync),
                ),
                shop_routes(
                    catalogue,
                    ConfigBody(publishable_key=settings.stripe_publishable_key, stripe_js_url=settings.stripe_js_url),
                ),
                operations_routes(readiness),
            ],
            access_control=_access_control(settings, jwks),
            cors_origins=settings.cors_origins,
            deadline_seconds=settings.request_deadline_seconds,
        )


def _webhook_dispatcher(
    settings: GatewaySettings,
    client: stripe.StripeClient,
    orders_channel: grpc.aio.Channel,
    fulfilment: Fulfilment,
    sync: SubscriptionSync,
) -> WebhookDispatcher:
    stripe_refunds = StripeRefunds(client)
    refund_copies = RefundsClient(orders_channel, timeout_seconds=settings.service_timeout_seconds)
    dispute_copies = DisputesClient(orders_channel, timeout_seconds=settings.service_timeout_seconds)
    refunds = StripeMirror("refund", stripe_refunds, refund_copies, livemode=settings.livemode)
    return WebhookDispatcher(
        fulfilment=fulfilment,
        refunds=refunds,
        charge_refunds=ChargeRefunds(refunds, stripe_refunds),
        disputes=StripeMirror("dispute", StripeDisputes(client), dispute_copies, livemode=settings.livemode),
        subscriptions=sync,
    )


def _stripe_limiter(settings: GatewaySettings) -> StripeLimiter:
    return StripeLimiter(
        max_concurrent=settings.stripe_max_concurrent,
        requests_per_second=settings.stripe_requests_per_second,
        max_wait_seconds=settings.stripe_queue_seconds,
        monotonic=time.monotonic,
    )


def _stripe_client(
    settings: GatewaySettings, session: aiohttp.ClientSession, limiter: StripeLimiter, priority: Priority
) -> stripe.StripeClient:
    http = StripeHttp(
        session,
        limiter,
        priority=priority,
        timeout_seconds=settings.stripe_timeout_seconds,
        budget_seconds=settings.stripe_budget_seconds,
        max_retries=settings.stripe_max_retries,
        randomness=random.random,
    )
    return stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        http_client=http,
        base_addresses={"api": settings.stripe_api_base},
        max_network_retries=0,  # StripeHttp repeats
    )


def _issuer_keys(settings: GatewaySettings) -> JwksCache | None:
    if settings.oidc_issuer is None:
        return None
    return JwksCache(
        JwksClient(
            settings.oidc_issuer,
            settings.oidc_jwks_url,
            timeout_seconds=settings.oidc_timeout_seconds,
            insecure_allowed=settings.in_development,
        ),
        algorithms=settings.oidc_algorithms,
        refresh_seconds=settings.oidc_refresh_seconds,
        max_age_seconds=settings.oidc_max_age_seconds,
        monotonic=time.monotonic,
    )


def _access_control(settings: GatewaySettings, jwks: JwksCache | None) -> AccessControl:
    secret = secrets.token_bytes(_HASH_SECRET_BYTES)

    def limiter(name: str, per_minute: float, burst: int) -> RateLimiter:
        return RateLimiter(name, Rate(per_minute, burst), secret=secret, monotonic=time.monotonic)

    return AccessControl(
        verifier=_verifier(settings, jwks),
        addresses=ClientAddresses(settings.trusted_proxies),
        initiate_by_address=limiter(
            "initiate_by_address", settings.initiate_per_address_per_minute, settings.initiate_per_address_burst
        ),
        initiate_by_user=limiter(
            "initiate_by_user", settings.initiate_per_user_per_minute, settings.initiate_per_user_burst
        ),
        lookup_by_address=limiter(
            "lookup_by_address", settings.lookup_per_address_per_minute, settings.lookup_per_address_burst
        ),
    )


def _verifier(settings: GatewaySettings, jwks: JwksCache | None) -> TokenVerifier:
    if jwks is not None:
        rules = TokenValidation(settings.oidc_audience, settings.oidc_issuer, settings.oidc_leeway_seconds)
        return TokenVerifier(jwks, rules, allow_guests=settings.allow_guests)
    keys: TokenKeys | None = SharedSecret(settings.jwt_secret.get_secret_value()) if settings.jwt_secret else None
    rules = TokenValidation(settings.jwt_audience, settings.jwt_issuer)
    return TokenVerifier(keys, rules, allow_guests=settings.allow_guests)
