"""Builds the service from its settings, once."""

import random
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import audit_pb2_grpc, operator_pb2_grpc, stripe_events_pb2_grpc
from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders.api import operator_servicer
from orders.api.audit_servicer import AuditServicer
from orders.api.operator_servicer import OperatorServicer, OperatorUseCases
from orders.api.servicer import CRITICALITY, DOMAIN, ERRORS, SERVICE_NAME, OrdersServicer, UseCases
from orders.api.settlements import read_content
from orders.api.stripe_events_servicer import StripeEventsServicer
from orders.postgres.connection import open_engine
from orders.postgres.schema_version import SchemaReadiness
from orders.postgres.unit_of_work import PostgresUnitOfWorkFactory
from orders.settings import OrdersSettings
from orders.usecases.audit import AuditReader
from orders.usecases.customers import CustomerService
from orders.usecases.operator_steps import OperatorSteps
from orders.usecases.purchase_writer import PurchaseWriter
from orders.usecases.purchases import PurchaseReader, PurchaseRecorder
from orders.usecases.quarantine import QuarantineService
from orders.usecases.refunds import RefundService
from orders.usecases.retrying import Retrier
from orders.usecases.settlements import SettlementService
from orders.usecases.stripe_events import StripeEventService
from orders.usecases.subscriptions import SubscriptionReader, SubscriptionWriter
from orders.usecases.unit_of_work import UnitOfWorkFactory
from servicekit.encryption import warn_if_unencrypted
from servicekit.grpc_server import GrpcServer, MutualTls
from servicekit.metrics import metrics_served
from servicekit.settings import warn_of_plaintext

_READINESS_SECONDS = 2.0


async def run(settings: OrdersSettings) -> None:
    """Serve until SIGTERM."""
    warn_if_unencrypted(settings.keyring)
    warn_of_plaintext(settings)
    async with built_server(settings) as server:
        with metrics_served(settings.metrics_listen, server.probes):
            await server.serve()


@asynccontextmanager
async def built_server(settings: OrdersSettings) -> AsyncIterator[GrpcServer]:
    """Build the gRPC server, not started yet. Its database connections are closed when the block is left."""
    readiness_retrier = Retrier(budget_seconds=_READINESS_SECONDS, tries=1, jitter=random.random)
    # Readiness has a connection of its own: a busy service is not an unready one.
    readiness_engine = open_engine(settings.database_url.get_secret_value(), replace(settings.limits, pool_size=1))
    async with opened_database(settings) as (engine, retrier):
        try:
            yield _assemble(settings, engine, retrier, SchemaReadiness(readiness_engine, readiness_retrier))
        finally:
            await readiness_retrier.drain()
            await readiness_engine.dispose()


@asynccontextmanager
async def opened_database(settings: OrdersSettings) -> AsyncIterator[tuple[AsyncEngine, Retrier]]:
    """Open the database, and drain and close its connections when the block is left."""
    retrier = Retrier(budget_seconds=settings.call_timeout_seconds, tries=settings.database_tries, jitter=random.random)
    engine = open_engine(settings.database_url.get_secret_value(), settings.limits)
    try:
        yield engine, retrier
    finally:
        await retrier.drain()
        await engine.dispose()


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def _assemble(
    settings: OrdersSettings, engine: AsyncEngine, retrier: Retrier, readiness: SchemaReadiness
) -> GrpcServer:
    server = GrpcServer(
        service_name=SERVICE_NAME,
        listen=settings.listen,
        errors={**ERRORS, **operator_servicer.ERRORS},
        domain=DOMAIN,
        max_in_flight=settings.max_in_flight,
        criticality=CRITICALITY,
        readiness=[readiness.check],
        with_reflection=settings.in_development,
        lame_duck_seconds=settings.lame_duck_seconds,
        drain_seconds=settings.drain_seconds,
        tls=MutualTls.with_files(settings.tls, settings.tls_client_names),
    )
    begin = PostgresUnitOfWorkFactory(engine, settings.keyring)
    pb_grpc.add_OrdersServiceServicer_to_server(OrdersServicer(_use_cases(begin), retrier), server.grpc)
    stripe_events_pb2_grpc.add_StripeEventsServiceServicer_to_server(
        StripeEventsServicer(StripeEventService(begin, utc_now), retrier), server.grpc
    )
    operator_pb2_grpc.add_OperatorServiceServicer_to_server(
        OperatorServicer(_operator_use_cases(begin), retrier), server.grpc
    )
    audit_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(AuditReader(begin), retrier), server.grpc)
    return server


def _use_cases(begin: UnitOfWorkFactory) -> UseCases:
    return UseCases(
        recorder=PurchaseRecorder(begin, utc_now, PurchaseWriter(uuid.uuid4, secrets.randbelow)),
        quarantine=QuarantineService(begin, utc_now),
        reader=PurchaseReader(begin),
        refunds=RefundService(begin, utc_now),
        subscriptions=SubscriptionReader(begin),
        subscription_writer=SubscriptionWriter(begin, utc_now),
        customers=CustomerService(begin),
    )


def _operator_use_cases(begin: UnitOfWorkFactory) -> OperatorUseCases:
    writer = PurchaseWriter(uuid.uuid4, secrets.randbelow)
    return OperatorUseCases(
        settlements=SettlementService(begin, utc_now, writer, read_content),
        steps=OperatorSteps(begin, utc_now),
    )
