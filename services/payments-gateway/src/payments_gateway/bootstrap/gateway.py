"""Builds the gateway that serves HTTP."""

import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import stripe
from fastapi import APIRouter, FastAPI

from payments_gateway.access.client_addresses import ClientAddresses
from payments_gateway.access.demo_tokens import DemoTokens
from payments_gateway.access.jwks_cache import JwksCache
from payments_gateway.access.jwks_client import JwksClient
from payments_gateway.access.rate_limits import Rate, RateLimiter
from payments_gateway.access.tokens import SharedSecret, TokenKeys, TokenValidation, TokenVerifier
from payments_gateway.api.app import create_app
from payments_gateway.api.callers import AccessControl
from payments_gateway.api.checkout import checkout_routes
from payments_gateway.api.demo_sign_in import DEMO_SIGN_IN, demo_sign_in_routes
from payments_gateway.api.operations import operations_routes
from payments_gateway.api.orders import order_routes
from payments_gateway.api.shop import shop_routes
from payments_gateway.api.shop_bodies import ConfigBody
from payments_gateway.api.storefront import storefront_routes
from payments_gateway.api.subscriptions import subscription_routes
from payments_gateway.api.webhook import webhook_routes
from payments_gateway.bootstrap.backends import attempt_ids, open_services, open_stripe_clients
from payments_gateway.bootstrap.payments import payment_use_cases
from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.checkout.catalogue_cache import CatalogueCache
from payments_gateway.checkout.complete import CompleteCheckout
from payments_gateway.checkout.customers import Customers
from payments_gateway.checkout.expiry import Expiry
from payments_gateway.checkout.initiate import Initiate
from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.checkout.status import CheckoutStatusReader
from payments_gateway.checkout.supersede import Supersede
from payments_gateway.events.event_log import EventLog
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.stripe_api.catalogue import StripeCatalogue
from payments_gateway.stripe_api.customers import StripeCustomers
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.portal import StripePortalSessions
from payments_gateway.stripe_api.single_flight import SingleFlightIntents
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions
from payments_gateway.stripe_api.webhooks import StripeWebhooks
from payments_gateway.subscriptions.cancel import SubscriptionCancel
from payments_gateway.subscriptions.open_payments import OpenPayments
from payments_gateway.subscriptions.portal import CustomerPortal
from servicekit.health import Readiness

_HASH_SECRET_BYTES: Final = 16
_STRIPE_FINISHES_AFTER: Final = timedelta(seconds=5)
"""Time for Stripe to finish a request that we stopped waiting for, and for skew between clocks."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The app, and the readiness that its /readyz shows."""

    app: FastAPI
    readiness: Readiness


@asynccontextmanager
async def gateway(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """Yield the gateway with all its connections open; close them on leaving."""
    async with AsyncExitStack() as stack:
        services = await open_services(settings, stack, try_seconds=settings.service_try_seconds)
        clients = await open_stripe_clients(settings, settings.stripe_share, stack)
        livemode, now = settings.livemode, partial(datetime.now, UTC)

        # Ports.
        attempts, orders, subscriptions = services.attempts, services.orders, services.subscriptions
        intents = StripeIntents(clients.buy)
        paid_intents = StripeIntents(clients.fulfil)
        browsed_intents = StripeIntents(clients.browse)
        billing = StripeSubscriptions(clients.buy)
        browsed_billing = StripeSubscriptions(clients.browse)
        catalogue = _catalogue_cache(settings, clients.browse)
        jwks = _jwks_cache(settings)
        ids = attempt_ids(settings)
        id_secret = settings.attempt_id_secrets[0].get_secret_value().encode()

        # Use cases.
        payments = payment_use_cases(services, clients, ids, livemode=livemode, now=now)
        fulfilment, activation, sync = payments.fulfilment, payments.activation, payments.sync
        reader = SingleFlightIntents(browsed_intents)
        open_payments = OpenPayments(browsed_billing, browsed_intents)
        payment_guard = PaymentGuard(fulfilment, orders)
        cancellation = Cancellation(attempts, intents)
        expiry = Expiry(cancellation, now)
        initiate = Initiate(
            ids=ids,
            catalogue=catalogue,
            intents=intents,
            customers=Customers(StripeCustomers(clients.buy), services.customers, id_secret),
            attempts=attempts,
            supersede=Supersede(attempts, intents, cancellation, payment_guard),
            expiry=expiry,
            payment_guard=payment_guard,
            pay_by=timedelta(hours=settings.pay_by_hours),
            now=now,
        )
        complete = CompleteCheckout(
            attempts, orders, paid_intents, Expiry(Cancellation(attempts, paid_intents), now), fulfilment
        )
        statuses = CheckoutStatusReader(
            attempts,
            orders,
            reader,
            Expiry(Cancellation(attempts, browsed_intents), now),
            open_payments,
        )
        cancels = SubscriptionCancel(
            subscriptions,
            billing,
            OpenPayments(billing, intents),
            activation,
            sync,
            creation_takes=timedelta(seconds=settings.request_deadline_seconds) + _STRIPE_FINISHES_AFTER,
            now=now,
        )
        portal = CustomerPortal(subscriptions, StripePortalSessions(clients.buy), return_url=settings.portal_return_url)

        # HTTP.
        # Of this process alone: a service that is away must not take all gateways away (ADR 46).
        checks = [catalogue.check_ready]
        await stack.enter_async_context(catalogue.refresh_in_background())
        if jwks is not None:
            checks.append(jwks.check_ready)
            await stack.enter_async_context(jwks.refresh_in_background())
        await stack.enter_async_context(payments.deletions.flush_in_background())
        event_log = EventLog(services.event_log)
        await stack.enter_async_context(event_log.flush_in_background())
        readiness = Readiness(checks)
        app = create_app(
            [
                checkout_routes(initiate, complete, statuses, ids),
                order_routes(orders),
                subscription_routes(subscriptions, open_payments, cancels, portal),
                webhook_routes(_webhooks(settings), payments.dispatcher, event_log),
                shop_routes(catalogue, _config(settings)),
                operations_routes(readiness),
                *_demo_sign_in(settings),
                *_storefront(settings),
            ],
            access_control=_access_control(settings, jwks),
            customer_portal_url=settings.customer_portal_url,
            cors_origins=settings.cors_origins,
            max_in_flight=settings.max_in_flight,
            deadline_seconds=settings.request_deadline_seconds,
            refusal_pause_seconds=partial(_around, settings.refusal_pause_seconds),
        )
        yield Gateway(app, readiness)


def _catalogue_cache(settings: GatewaySettings, client: stripe.StripeClient) -> CatalogueCache:
    return CatalogueCache(
        StripeCatalogue(client),
        refresh_seconds=settings.catalogue_refresh_seconds,
        max_age_seconds=settings.catalogue_max_age_seconds,
        monotonic=time.monotonic,
    )


def _webhooks(settings: GatewaySettings) -> StripeWebhooks:
    return StripeWebhooks([secret.get_secret_value() for secret in settings.stripe_webhook_secrets], now=time.time)


def _config(settings: GatewaySettings) -> ConfigBody:
    return ConfigBody(
        publishable_key=settings.stripe_publishable_key,
        stripe_js_url=settings.stripe_js_url,
        customer_portal_url=settings.customer_portal_url,
        demo_sign_in_url=DEMO_SIGN_IN if settings.demo_sign_in else None,
    )


def _demo_sign_in(settings: GatewaySettings) -> list[APIRouter]:
    if not settings.demo_sign_in or settings.jwt_secret is None:
        return []
    secret = settings.jwt_secret.get_secret_value()
    return [demo_sign_in_routes(DemoTokens(secret, _hmac_validation(settings), now=time.time))]


def _storefront(settings: GatewaySettings) -> list[APIRouter]:
    if settings.storefront_dir is None:
        return []
    return [storefront_routes(settings.storefront_dir, stripe_js_url=settings.stripe_js_url)]


def _jwks_cache(settings: GatewaySettings) -> JwksCache | None:
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


def _around(mean_seconds: float) -> float:
    """Return a random time, so that refusals of many connections do not come due at once."""
    return random.uniform(mean_seconds / 2, mean_seconds * 1.5)  # noqa: S311 — nothing depends on it being secret


def _verifier(settings: GatewaySettings, jwks: JwksCache | None) -> TokenVerifier:
    if jwks is not None:
        validation = TokenValidation(settings.oidc_audience, settings.oidc_issuer, settings.oidc_leeway_seconds)
        return TokenVerifier(jwks, validation, allow_guests=settings.allow_guests)
    keys: TokenKeys | None = SharedSecret(settings.jwt_secret.get_secret_value()) if settings.jwt_secret else None
    return TokenVerifier(keys, _hmac_validation(settings), allow_guests=settings.allow_guests)


def _hmac_validation(settings: GatewaySettings) -> TokenValidation:
    return TokenValidation(settings.jwt_audience, settings.jwt_issuer)
