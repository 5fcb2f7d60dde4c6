"""Builds the reconciler."""

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from payments_gateway.bootstrap.backends import (
    GATEWAY_VERSION,
    Services,
    StripeClients,
    attempt_ids,
    open_services,
    open_stripe_clients,
)
from payments_gateway.bootstrap.payments import PaymentUseCases, payment_use_cases
from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.events.backfill import EventBackfill
from payments_gateway.events.retries import SWEEP as RETRIES_SWEEP
from payments_gateway.events.retries import EventRetries
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.reconciler.claims import Claims
from payments_gateway.reconciler.due_attempts import DueAttemptsSweep
from payments_gateway.reconciler.intent_search import IntentSearch
from payments_gateway.reconciler.judgement import Judgement
from payments_gateway.reconciler.orphans import OrphanSweep
from payments_gateway.reconciler.sweeps import Sweep, SweepLoop
from payments_gateway.reconciler.unfinished_subscriptions import UnfinishedSubscriptions
from payments_gateway.settings.reconciler import ReconcilerSettings
from payments_gateway.stripe_api.events import StripeEvents
from payments_gateway.stripe_api.intent_lists import StripeIntentLists
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.webhooks import EVENT_TYPES
from servicekit.health import Readiness

_DUE_ATTEMPTS: Final = "due_attempts"
_SELDOM: Final = 12
"""Intervals between two passes of sweeps whose work is seldom and does not hurry: a minute by default."""

_MIN_WAIT_SECONDS: Final = 60.0
"""Time that a request to Stripe may take with its waits: with a small share, each waits for those of other sweeps."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """The sweeps, and the readiness that the probes show."""

    loop: SweepLoop
    readiness: Readiness


@asynccontextmanager
async def reconciler(settings: ReconcilerSettings) -> AsyncIterator[Reconciler]:
    """Yield the reconciler with all its connections open; close them on leaving."""
    async with AsyncExitStack() as stack:
        services = await open_services(settings, stack, try_seconds=settings.service_try_seconds)
        clients = await open_stripe_clients(
            settings, settings.reconcile_stripe_share, stack, min_wait_seconds=_MIN_WAIT_SECONDS
        )
        payments = payment_use_cases(services, clients, attempt_ids(settings), livemode=settings.livemode, now=_now)
        due_attempts = _due_attempts(services, clients, payments.fulfilment, settings)
        orphans = _orphans(services, clients, payments.fulfilment, settings)
        interval = timedelta(seconds=settings.reconcile_interval_seconds)
        sweeps = [
            Sweep(_DUE_ATTEMPTS, due_attempts.run, interval),
            Sweep("orphans", orphans.run, interval * _SELDOM),
            *_event_sweeps(services, clients, payments, settings),
        ]
        # No check: nobody calls a reconciler, and its sweeps wait by themselves for what they need (ADR 46).
        yield Reconciler(SweepLoop(sweeps, jitter=_around, drain_seconds=settings.drain_seconds), Readiness([]))


def _due_attempts(
    services: Services, clients: StripeClients, fulfilment: Fulfilment, settings: ReconcilerSettings
) -> DueAttemptsSweep:
    cancellation = Cancellation(services.attempts, StripeIntents(clients.browse))
    return DueAttemptsSweep(
        Claims(
            services.due_attempts,
            _DUE_ATTEMPTS,
            lease=timedelta(seconds=settings.reconcile_lease_seconds),
            monotonic=time.monotonic,
        ),
        IntentSearch(StripeIntentLists(clients.browse)),
        StripeIntents(clients.browse),
        Judgement(services.attempts, cancellation, fulfilment, _now),
        time.monotonic,
    )


def _orphans(
    services: Services, clients: StripeClients, fulfilment: Fulfilment, settings: ReconcilerSettings
) -> OrphanSweep:
    return OrphanSweep(
        StripeIntentLists(clients.browse),
        services.attempts,
        Cancellation(services.attempts, StripeIntents(clients.browse)),
        fulfilment,
        attempt_ids(settings),
        age=settings.orphan_age,
        livemode=settings.livemode,
        now=_now,
    )


def _event_sweeps(
    services: Services, clients: StripeClients, payments: PaymentUseCases, settings: ReconcilerSettings
) -> Sequence[Sweep]:
    """Return the sweeps of Stripe's events and of unfinished subscriptions."""
    events, lease = StripeEvents(clients.browse), timedelta(seconds=settings.reconcile_lease_seconds)
    backfill = EventBackfill(
        events,
        services.event_log,
        services.event_retries,
        services.cursors,
        payments.dispatcher,
        event_types=EVENT_TYPES,
        lease=lease,
        now=_now,
    )
    retries = EventRetries(services.event_retries, payments.dispatcher, lease=lease, version=GATEWAY_VERSION, now=_now)
    pause = timedelta(seconds=settings.reconcile_subscriptions_seconds)
    unfinished = UnfinishedSubscriptions(
        services.subscriptions, services.cursors, payments.activation, lease=lease, older_than=pause, now=_now
    )
    return (
        Sweep("events", backfill.run, timedelta(seconds=settings.reconcile_events_seconds)),
        Sweep(RETRIES_SWEEP, retries.run, timedelta(seconds=settings.reconcile_interval_seconds)),
        Sweep("subscriptions", unfinished.run, pause),
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _around(mean_seconds: float) -> float:
    """Return a random time, so that several reconcilers do not search at the same moments."""
    return random.uniform(mean_seconds / 2, mean_seconds * 1.5)  # noqa: S311 — nothing depends on it being secret
