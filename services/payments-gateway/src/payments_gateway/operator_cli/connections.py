"""Connections of a verb: channels to the services and a client of Stripe, as the gateway opens them."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import stripe

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.settings import EACH_OPERATION, GatewaySettings
from payments_gateway.stripe_api.http import StripeHttp, stripe_session
from payments_gateway.stripe_api.rate_limiter import Priority, RequestRates, StripeLimiter
from servicekit.certificates import Certificates
from servicekit.grpc_client import open_channel

STRIPE_SHARE: Final = 0.1
"""Part of Stripe's limits that a verb takes. Gateways and reconcilers take the rest (ADR 39)."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Everything that verbs reach."""

    settings: GatewaySettings
    checkout_session: grpc.aio.Channel
    orders: grpc.aio.Channel
    stripe: stripe.StripeClient
    ids: AttemptIds

    @property
    def timeout_seconds(self) -> float:
        """Deadline of a call to a service."""
        return self.settings.service_timeout_seconds


@asynccontextmanager
async def connected(settings: GatewaySettings) -> AsyncIterator[Connections]:
    """Open all connections, and close them when the block is left. Nothing is sent before a verb needs it."""
    stripe.enable_telemetry = False  # it writes a file
    certificates = Certificates("grpc", settings.tls) if settings.tls else None
    async with AsyncExitStack() as stack:
        yield Connections(
            settings=settings,
            checkout_session=await stack.enter_async_context(
                open_channel(settings.checkout_session_target, certificates=certificates)
            ),
            orders=await stack.enter_async_context(open_channel(settings.orders_target, certificates=certificates)),
            stripe=await _stripe_client(settings, stack),
            ids=AttemptIds([secret.get_secret_value().encode() for secret in settings.attempt_id_secrets]),
        )


async def _stripe_client(settings: GatewaySettings, stack: AsyncExitStack) -> stripe.StripeClient:
    limits = settings.stripe_operation_requests_per_second
    limiter = StripeLimiter(
        max_concurrent=settings.stripe_max_concurrent,
        rates=RequestRates(
            total=settings.stripe_total_requests_per_second * STRIPE_SHARE,
            operation=limits[EACH_OPERATION] * STRIPE_SHARE,
            by_operation={name: limit * STRIPE_SHARE for name, limit in limits.items()},
        ),
        max_wait_seconds=settings.stripe_queue_seconds,
        monotonic=time.monotonic,
    )
    http = StripeHttp(
        await stack.enter_async_context(stripe_session(max_connections=settings.stripe_max_concurrent)),
        limiter,
        priority=Priority.BROWSE,
        timeout_seconds=settings.stripe_timeout_seconds,
        budget_seconds=settings.stripe_budget_seconds,
        max_retries=settings.stripe_max_retries,
        randomness=random.random,
    )
    return stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        http_client=http,
        base_addresses={"api": settings.stripe_api_base},
        max_network_retries=0,  # StripeHttp retries
    )
