"""Builds the reconciler."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from payments_gateway.bootstrap.backends import attempt_ids, open_services, open_stripe_clients
from payments_gateway.bootstrap.payments import PaymentUseCases, payment_use_cases
from payments_gateway.reconciler.sweeps import Sweep, SweepLoop
from payments_gateway.rpc.readiness import serving
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.health import Readiness


@dataclass(frozen=True, slots=True)
class Reconciler:
    """The sweeps, and the readiness of what they need."""

    loop: SweepLoop
    readiness: Readiness


@asynccontextmanager
async def reconciler(settings: ReconcilerSettings) -> AsyncIterator[Reconciler]:
    """Yield the reconciler with all its connections open; close them on leaving."""
    async with AsyncExitStack() as stack:
        services = await open_services(settings, stack)
        clients = await open_stripe_clients(settings, settings.reconcile_stripe_share, stack)
        now = partial(datetime.now, UTC)
        payments = payment_use_cases(services, clients, attempt_ids(settings), livemode=settings.livemode, now=now)
        sweeps = _sweeps(payments, settings)
        readiness = [serving("checkout-session", services.session_channel), serving("orders", services.orders_channel)]
        yield Reconciler(SweepLoop(sweeps, jitter=_around, drain_seconds=settings.drain_seconds), Readiness(readiness))


def _sweeps(_payments: PaymentUseCases, _settings: ReconcilerSettings) -> Sequence[Sweep]:
    """Return the sweeps, each with its interval."""
    return ()


def _around(mean_seconds: float) -> float:
    """Return a random time, so that several reconcilers do not search at the same moments."""
    return random.uniform(mean_seconds / 2, mean_seconds * 1.5)  # noqa: S311 — nothing depends on it being secret
