"""Connections that every process of the gateway opens: to both services, and to Stripe within its limits."""

import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final, NamedTuple

import aiohttp
import grpc
import stripe

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.rpc.attempts import AttemptsClient
from payments_gateway.rpc.customers import CustomersClient
from payments_gateway.rpc.due_attempts import DueAttemptsClient
from payments_gateway.rpc.orders import OrdersClient
from payments_gateway.rpc.refunds import DisputesClient, RefundsClient
from payments_gateway.rpc.stripe_events import CursorsClient, EventLogClient, EventRetriesClient
from payments_gateway.rpc.subscriptions import SubscriptionsClient
from payments_gateway.settings.backends import EACH_OPERATION, BackendSettings
from payments_gateway.stripe_api.http import StripeHttp, stripe_session
from payments_gateway.stripe_api.rate_limiter import Priority, RequestRates, StripeLimiter
from servicekit.certificates import Certificates
from servicekit.grpc_client import open_channel

stripe.enable_telemetry = False  # it writes a file

GATEWAY_VERSION: Final = version("holdfast-payments-gateway")
"""Version of this release."""


@dataclass(frozen=True, slots=True)
class Services:
    """Channels to checkout-session and orders, and the ports over them."""

    session_channel: grpc.aio.Channel
    orders_channel: grpc.aio.Channel
    attempts: AttemptsClient
    due_attempts: DueAttemptsClient
    orders: OrdersClient
    subscriptions: SubscriptionsClient
    customers: CustomersClient
    refunds: RefundsClient
    disputes: DisputesClient
    event_log: EventLogClient
    event_retries: EventRetriesClient
    cursors: CursorsClient


class StripeClients(NamedTuple):
    """A client for each priority. They share connections and limiter (ADR 34)."""

    fulfil: stripe.StripeClient
    buy: stripe.StripeClient
    browse: stripe.StripeClient


async def open_services(
    settings: BackendSettings, stack: AsyncExitStack, *, try_seconds: float | None = None
) -> Services:
    """Open channels to checkout-session and orders; the stack closes them.

    A try of a call is given up after `try_seconds`; None leaves it the whole deadline.
    """
    certificates = Certificates("grpc", settings.tls) if settings.tls else None
    open_to = partial(open_channel, certificates=certificates, try_seconds=try_seconds)
    session = await stack.enter_async_context(open_to(settings.checkout_session_target))
    orders = await stack.enter_async_context(open_to(settings.orders_target))
    timeout_seconds = settings.service_timeout_seconds
    return Services(
        session,
        orders,
        attempts=AttemptsClient(session, timeout_seconds=timeout_seconds),
        due_attempts=DueAttemptsClient(session, timeout_seconds=timeout_seconds),
        orders=OrdersClient(orders, timeout_seconds=timeout_seconds),
        subscriptions=SubscriptionsClient(orders, timeout_seconds=timeout_seconds),
        customers=CustomersClient(orders, timeout_seconds=timeout_seconds),
        refunds=RefundsClient(orders, timeout_seconds=timeout_seconds),
        disputes=DisputesClient(orders, timeout_seconds=timeout_seconds),
        event_log=EventLogClient(orders, timeout_seconds=timeout_seconds),
        event_retries=EventRetriesClient(orders, timeout_seconds=timeout_seconds, livemode=settings.livemode),
        cursors=CursorsClient(orders, timeout_seconds=timeout_seconds),
    )


async def open_stripe_clients(
    settings: BackendSettings, share: float, stack: AsyncExitStack, *, min_wait_seconds: float = 0.0
) -> StripeClients:
    """Open clients that together take a share of Stripe's limits; the stack closes them.

    `min_wait_seconds` lets a request wait longer for its turn within a small share, where no buyer waits for it.
    """
    session = await stack.enter_async_context(stripe_session(max_connections=settings.stripe_max_concurrent))
    limiter = StripeLimiter(
        max_concurrent=settings.stripe_max_concurrent,
        rates=_stripe_rates(settings, share),
        max_wait_seconds=max(settings.stripe_queue_seconds, min_wait_seconds),
        monotonic=time.monotonic,
    )
    budget_seconds = max(settings.stripe_budget_seconds, min_wait_seconds)
    return StripeClients(
        *(_stripe_client(settings, session, limiter, priority, budget_seconds) for priority in Priority)
    )


def attempt_ids(settings: BackendSettings) -> AttemptIds:
    """Return the ids that the settings' secrets make and prove."""
    return AttemptIds([secret.get_secret_value().encode() for secret in settings.attempt_id_secrets])


def _stripe_rates(settings: BackendSettings, share: float) -> RequestRates:
    limits = settings.stripe_operation_requests_per_second
    return RequestRates(
        total=settings.stripe_total_requests_per_second * share,
        operation=limits[EACH_OPERATION] * share,
        by_operation={name: limit * share for name, limit in limits.items()},
    )


def _stripe_client(
    settings: BackendSettings,
    session: aiohttp.ClientSession,
    limiter: StripeLimiter,
    priority: Priority,
    budget_seconds: float,
) -> stripe.StripeClient:
    http = StripeHttp(
        session,
        limiter,
        priority=priority,
        timeout_seconds=settings.stripe_timeout_seconds,
        budget_seconds=budget_seconds,
        max_retries=settings.stripe_max_retries,
        randomness=random.random,
    )
    return stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        http_client=http,
        base_addresses={"api": settings.stripe_api_base},
        max_network_retries=0,  # StripeHttp retries
    )
