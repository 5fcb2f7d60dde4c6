"""Connections of a verb: channels to the services and a client of Stripe, as the gateway opens them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import stripe

from payments_gateway.bootstrap.backends import (
    Services,
    StripeClients,
    attempt_ids,
    open_services,
    open_stripe_clients,
)
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.settings.gateway import GatewaySettings

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
    services: Services
    stripe_clients: StripeClients

    @property
    def timeout_seconds(self) -> float:
        """Deadline of a call to a service."""
        return self.settings.service_timeout_seconds


@asynccontextmanager
async def connected(settings: GatewaySettings) -> AsyncIterator[Connections]:
    """Open all connections, and close them when the block is left. Nothing is sent before a verb needs it."""
    async with AsyncExitStack() as stack:
        services = await open_services(settings, stack)
        clients = await open_stripe_clients(settings, STRIPE_SHARE, stack)
        yield Connections(
            settings=settings,
            checkout_session=services.session_channel,
            orders=services.orders_channel,
            stripe=clients.browse,
            ids=attempt_ids(settings),
            services=services,
            stripe_clients=clients,
        )
