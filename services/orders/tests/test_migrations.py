"""The schema: from nothing to head and back, and the same as the models say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2 as pb
from orders.postgres.connection import open_engine
from orders.postgres.migrate import downgrade, head_revision, upgrade
from orders.postgres.tables import PERSONAL_IN_ORDER, Row

from .adjustment_reports import refund_of
from .reports import aside, line, purchase
from .service import KEYS, Client, connected, served, settings_for
from .subscription_reports import cart, recurring_line

# Everything that PostgreSQL knows about our tables, in words that do not depend on how they were made.
CATALOGUE = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
           coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity::text
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
      FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT 'enum', t.typname, e.enumlabel, rank() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder)::text, '', '', ''
      FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
     ORDER BY 1, 2, 3
"""


@pytest.fixture
async def engine(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine on a database without a schema."""
    engine = open_engine(empty_database_url, settings_for(empty_database_url).limits)
    yield engine
    await engine.dispose()


async def catalogue(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    """Return everything that PostgreSQL knows about our tables."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(CATALOGUE))]


async def test_the_migrated_schema_is_what_the_models_say(engine: AsyncEngine, database_url: str) -> None:
    """Down to every constraint, default, index and enumerated word."""
    async with engine.begin() as connection:
        await connection.run_sync(Row.metadata.create_all)
    migrated_engine = open_engine(database_url, settings_for(database_url).limits)

    migrated = await catalogue(migrated_engine)

    assert migrated == await catalogue(engine)
    assert len(migrated) > 100
    await migrated_engine.dispose()


async def test_alembic_finds_no_difference_to_the_models(engine: AsyncEngine, empty_database_url: str) -> None:
    """A new revision made from the models would be empty."""
    await upgrade(empty_database_url)

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, Row.metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_schema_goes_down_and_up_again(engine: AsyncEngine, empty_database_url: str) -> None:
    """Down to nothing at all, and up to the same schema."""
    await upgrade(empty_database_url)
    first = await catalogue(engine)

    await downgrade(empty_database_url, "base")
    nothing = await catalogue(engine)
    await upgrade(empty_database_url)

    assert nothing == []
    assert await catalogue(engine) == first


async def test_what_was_erased_is_not_forgotten_on_the_way_down(database_url: str) -> None:
    """The first schema would take it for a guest's order, and fill an erased payment again."""
    async with served(settings_for(database_url)) as channel:
        await Client(channel).RecordPurchase(purchase(user_id="user_1"))
    async with connected(database_url) as sql:
        empty = ", ".join(f"{name} = NULL" for name in PERSONAL_IN_ORDER)
        await sql.execute(f"UPDATE orders SET erased_at = now(), {empty}")  # noqa: S608 - the schema's own words

        with pytest.raises(exc.IntegrityError):
            await downgrade(database_url, "0001")

        assert await sql.fetchval("SELECT count(erased_at) FROM orders") == 1


async def test_migrating_again_changes_nothing(engine: AsyncEngine, empty_database_url: str) -> None:
    """The command may run at every deployment."""
    await upgrade(empty_database_url)
    first = await catalogue(engine)

    await upgrade(empty_database_url)

    assert await catalogue(engine) == first


async def test_several_migrations_at_once_wait_for_each_other(empty_database_url: str) -> None:
    """As many as a careless deployment may start."""
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(4)))

    async with connected(empty_database_url) as sql:
        assert await sql.fetchval("SELECT array_agg(version_num) FROM alembic_version") == [head_revision()]


async def test_content_of_before_there_were_keys_stays_readable(database_url: str) -> None:
    """Stored as it came, it is marked as what it is, also after a way down and up; encrypted content is left alone."""
    asked = [aside(purchase(), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True) for _ in range(2)]
    async with served(settings_for(database_url)) as channel:
        for each in asked:
            await Client(channel).QuarantinePayment(each)
    await downgrade(database_url, "0002")
    async with connected(database_url) as sql:
        before = asked[0].context.SerializeToString()
        intent_id = asked[0].payment.intent.id
        await sql.execute("UPDATE payments SET attempt_content = $1 WHERE intent_id = $2", before, intent_id)

        await upgrade(database_url)
        await downgrade(database_url, "0002")
        below = await sql.fetchval("SELECT attempt_content FROM payments WHERE intent_id = $1", intent_id)
    await upgrade(database_url)

    async with served(settings_for(database_url, encryption_keys=f"{KEYS},clear")) as channel:
        page = await Client(channel).ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest())
    assert below == before
    assert [each.context for each in page.quarantined_payments] == [each.context for each in reversed(asked)]


async def test_refunds_are_not_migrated_away(database_url: str) -> None:
    """An order whose money was given back must not look as if it were to be shipped."""
    request = purchase()
    async with served(settings_for(database_url)) as channel:
        orders = Client(channel)
        await orders.RecordPurchase(request)
        await orders.ApplyRefund(refund_of(request.payment.intent.id))

        with pytest.raises(exc.IntegrityError):
            await downgrade(database_url, "0004")

        attempt = pb.GetPurchaseRequest(attempt_id=request.payment.attempt_id)
        assert (await orders.GetPurchase(attempt)).purchase.order.HasField("refunded")


async def test_subscriptions_are_not_migrated_away(database_url: str) -> None:
    """The schema before has no place for what was bought: the way down fails and changes nothing."""
    async with served(settings_for(database_url)) as channel:
        await Client(channel).RecordPurchase(cart(line(1), recurring_line(2)))
        before = await Client(channel).ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1"))

        with pytest.raises(exc.IntegrityError):
            await downgrade(database_url, "0003")

        after = await Client(channel).ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1"))
    assert len(before.subscriptions) == 1
    assert after == before
