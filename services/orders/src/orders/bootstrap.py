"""Builds the service, once, from its settings."""

import random
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders.api.servicer import DOMAIN, ERRORS, SERVICE_NAME, OrdersServicer, UseCases
from orders.postgres.connection import open_engine
from orders.postgres.migrate import SchemaReadiness
from orders.postgres.purchases import PostgresUnits
from orders.postgres.refunds import PostgresAdjustments
from orders.settings import OrdersSettings
from orders.usecases.customers import Customers
from orders.usecases.purchases import PurchaseReader, PurchaseRecorder
from orders.usecases.quarantine import Quarantine
from orders.usecases.refunds import AdjustmentLedger, Adjustments
from orders.usecases.retrying import Patience
from orders.usecases.subscriptions import SubscriptionLife, SubscriptionReader
from orders.usecases.unit_of_work import BeginUnit
from servicekit.encryption import warn_if_unencrypted
from servicekit.grpc_server import GrpcServer, MutualTls
from servicekit.metrics import metrics_served
from servicekit.settings import warn_of_plaintext

_READINESS_SECONDS = 2.0


async def run(settings: OrdersSettings) -> None:
    """Serve until told to stop."""
    warn_if_unencrypted(settings.keyring)
    warn_of_plaintext(settings)
    async with built_server(settings) as server:
        with metrics_served(settings.metrics_listen, server.probes):
            await server.serve()


@asynccontextmanager
async def built_server(settings: OrdersSettings) -> AsyncIterator[GrpcServer]:
    """Give the gRPC server, ready to start; on leaving, close its connections to the database."""
    patience = Patience(
        budget_seconds=settings.call_timeout_seconds, tries=settings.database_tries, jitter=random.random
    )
    glance = Patience(budget_seconds=_READINESS_SECONDS, tries=1, jitter=random.random)
    url = settings.database_url.get_secret_value()
    engine = open_engine(url, settings.limits)
    # Readiness has a connection of its own: a busy service is not an unready one.
    readiness_engine = open_engine(url, replace(settings.limits, pool_size=1))
    try:
        yield _assemble(settings, engine, patience, SchemaReadiness(readiness_engine, glance))
    finally:
        for waiting in (patience, glance):
            await waiting.settle()
        for opened in (engine, readiness_engine):
            await opened.dispose()


def _assemble(
    settings: OrdersSettings, engine: AsyncEngine, patience: Patience, readiness: SchemaReadiness
) -> GrpcServer:
    server = GrpcServer(
        service_name=SERVICE_NAME,
        listen=settings.listen,
        errors=ERRORS,
        domain=DOMAIN,
        readiness=[readiness.check],
        with_reflection=settings.in_development,
        drain_seconds=settings.drain_seconds,
        tls=MutualTls.with_files(settings.tls, settings.tls_client_names),
    )
    begin = PostgresUnits(engine, settings.keyring).begin
    servicer = OrdersServicer(build_use_cases(begin, PostgresAdjustments(engine)), patience)
    pb_grpc.add_OrdersServiceServicer_to_server(servicer, server.grpc)
    return server


def build_use_cases(begin: BeginUnit, adjustments: AdjustmentLedger) -> UseCases:
    """Give the use cases on a ledger."""
    return UseCases(
        recorder=PurchaseRecorder(begin, _now, uuid.uuid4, secrets.randbelow),
        quarantine=Quarantine(begin, _now),
        reader=PurchaseReader(begin),
        adjustments=Adjustments(adjustments),
        subscriptions=SubscriptionReader(begin),
        life=SubscriptionLife(begin, _now),
        customers=Customers(begin, _now),
    )


def _now() -> datetime:
    return datetime.now(UTC)
