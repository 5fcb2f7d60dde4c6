"""A store comes back as it was earlier: what it lacks is named, brought back by Stripe's word, and settled once."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey
from devstack.layout import Home
from devstack.ports import LOOPBACK
from devstack.postgres_install import remove_data
from devstack.stack_options import StackOptions
from tests.docs.documented_commands import PostgresBackup, run_redis

from .conftest import until
from .harness.control_api import ControlApi
from .harness.operator_command import run_command
from .harness.products import Plans, mixed_cart, plan_cart, put_plans_on_sale, subscriptions_at_stripe
from .harness.shop import Cart, Checkout, Shop
from .harness.system import System, running_system
from .timeouts import USUAL

WHY: Final = ("--reason", "restored, ticket 4711")
RECONCILER: Final = "reconciler"
_LATE_LOG: Final = """
    INSERT INTO stripe_events SELECT id, type, to_timestamp(created), now()
      FROM json_to_recordset($1) AS listed(id text, type text, created bigint) ON CONFLICT DO NOTHING
"""
_SETTINGS: Final = {
    "gateway": USUAL,
    RECONCILER: {
        **USUAL,
        "RECONCILE_INTERVAL_SECONDS": "0.2",
        "RECONCILE_EVENTS_SECONDS": "0.5",
        "RECONCILE_LEASE_SECONDS": "3",
    },
    "checkout-session": {"FIRST_CHECK_SECONDS": "1"},
}

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Choose the folder of the system."""
    return Home(tmp_path_factory.mktemp("restores"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(home: Home) -> AsyncIterator[System]:
    """Run a gateway and a reconciler."""
    options = StackOptions(reconcilers=1, durable=False, seed=1, settings=_SETTINGS)
    async with running_system(home.root, options=options, embedded=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(system: System) -> Plans:
    """Put the plans on sale."""
    return await put_plans_on_sale(system)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Create a folder that the servers' accounts may enter."""
    with tempfile.TemporaryDirectory(prefix="holdfast-backup-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


async def test_p3_purchases_that_a_restore_of_postgresql_loses_are_recorded_once(
    system: System, plans: Plans, control_api: ControlApi, shop: Shop, home: Home, folder: Path
) -> None:
    """The audit names them. One whose attempt is in a copy comes back by itself, carts settle the others.

    A gateway that was not stopped logs the events of all of them late.
    """
    postgres, redis = servers_of(system)
    backup = PostgresBackup(postgres, folder)
    carts = [system.cart(mug=1), plan_cart(plans, tea=1), mixed_cart(system, plans, {"mug": 1}, {"tea": 1})]
    with backup.receiving():
        backup.private("backup")
        await asyncio.to_thread(backup.run, "Back up")
        kept = await buy(system, shop, control_api, system.cart(mug=1))
        copied = await shop.checkout(system.cart(notebook=1))
        before = postgres.run_sql("SELECT clock_timestamp()")
        run_redis("Copy the append-only file", redis, BACKUP=str(folder))
        lost = [await buy(system, shop, control_api, cart) for cart in carts]
        await pay(system, shop, control_api, copied)
        await system.stripe.v1.refunds.create_async({"payment_intent": kept.intent_id, "amount": 100})
        await control_api.until_idle()
        events = (await system.stripe.v1.events.list_async({"limit": 100})).data
        for name in (RECONCILER, "orders", "postgres"):
            await system.backend.kill(name)

    remove_data(home.postgres_dir)
    await asyncio.to_thread(backup.restore, "Restore to a time", home.postgres_dir, BEFORE=before)
    await asyncio.to_thread(backup.start_restored, postgres)
    await system.orders_db.rows(_LATE_LOG, json.dumps([each.to_dict() for each in events], default=str))
    await system.backend.start("orders")
    named = await differences(system)
    with EmbeddedValkey(folder / "copy", password=redis.password) as copy:
        copy.stop()
        shutil.copytree(folder / "appendonlydir", copy.data_dir / "appendonlydir", dirs_exist_ok=True)
        copy.start()
        run_redis("Bring attempts back", redis, ATTEMPT=copied.attempt_id, **address_of(copy))
    backup.run("Let the reconciler look again", DATABASE=postgres.url("orders"), BEFORE=before)
    await system.backend.start(RECONCILER)
    await until(lambda: agrees(system), "agreement of Stripe and orders", seconds=60)
    waiting = (await run_command(system, "quarantine", "list")).document
    codes = [await settle_as_order(system, each, cart, folder) for each, cart in zip(lost, carts, strict=True)]

    assert named == {kept.intent_id: "refunds", **{each.intent_id: "not_decided" for each in [*lost, copied]}}
    assert {(each["intent"], each["reason"]) for each in waiting["payments"]} == {
        (each.intent_id, "attempt_missing") for each in lost
    }
    assert codes == [0, 0, 0]
    assert await agrees(system)
    for each in lost[1:]:
        [row] = await system.orders_db.subscriptions_of(each.attempt_id)
        [at_stripe] = await subscriptions_at_stripe(system, row["stripe_customer_id"])
        assert (row["stripe_subscription_id"], row["status"]) == (at_stripe["id"], "active")


async def test_p3_open_checkouts_come_back_with_the_append_only_file(
    system: System, control_api: ControlApi, shop: Shop, folder: Path
) -> None:
    """One that was bought since is not bought twice, and the payment of one that is lost is quarantined."""
    _, redis = servers_of(system)
    is_open, bought = [await shop.checkout(system.cart(mug=1)) for _ in range(2)]
    run_redis("Copy the append-only file", redis, BACKUP=str(folder))
    await pay(system, shop, control_api, bought)
    late = await shop.checkout(system.cart(mug=1))

    await system.backend.kill("valkey")
    run_redis("Restore the append-only file", redis, BACKUP=str(folder))
    await system.backend.start("valkey")
    await pay(system, shop, control_api, is_open)
    (await shop.pay(late)).ok()
    await control_api.until_idle()
    await until(lambda: nothing_is_due(system), "end of what came back")

    outcomes = {each: await system.orders_db.payments_of(each.attempt_id) for each in (is_open, bought, late)}
    assert [[row["outcome"] for row in rows] for rows in outcomes.values()] == [
        ["purchase"],
        ["purchase"],
        ["quarantined"],
    ]
    assert outcomes[late][0]["quarantine_reason"] == "attempt_missing"
    assert len(await system.orders_db.orders_of(bought.attempt_id)) == 1


def servers_of(system: System) -> tuple[EmbeddedPostgres, EmbeddedValkey]:
    """Return the stores."""
    postgres, redis = system.backend.process("postgres"), system.backend.process("valkey")
    assert isinstance(postgres, EmbeddedPostgres)
    assert isinstance(redis, EmbeddedValkey)
    return postgres, redis


def address_of(copy: EmbeddedValkey) -> dict[str, str]:
    """Return where a second Redis is."""
    return {"COPY_HOST": LOOPBACK, "COPY_PORT": str(copy.port)}


async def pay(system: System, shop: Shop, control_api: ControlApi, checkout: Checkout) -> None:
    """Pay a checkout, to the end of what webhooks do."""
    (await shop.pay(checkout)).ok()
    await control_api.until_idle()
    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert payment["outcome"] == "purchase"


async def buy(system: System, shop: Shop, control_api: ControlApi, cart: Cart) -> Checkout:
    """Buy a cart."""
    checkout = await shop.checkout(cart)
    await pay(system, shop, control_api, checkout)
    return checkout


async def nothing_is_due(system: System) -> bool:
    """Return true if no attempt is left."""
    return await system.attempt_store.count_due() == 0


async def differences(system: System) -> dict[str, str]:
    """Audit; return what differs by intent."""
    audited = await run_command(system, "audit", "--since", "1d", "--grace", "0s")
    return {each["intent"]: each["difference"] for each in audited.document["differences"]}


async def agrees(system: System) -> bool:
    """Return true if the audit finds nothing."""
    return (await run_command(system, "audit", "--since", "1d", "--grace", "0s")).code == 0


async def settle_as_order(system: System, checkout: Checkout, cart: Cart, folder: Path) -> int:
    """Settle a payment with the buyer's cart; return the exit code."""
    file = folder / "cart.json"
    file.write_text(json.dumps(cart.as_body()))
    words = ("quarantine", "settle", checkout.intent_id, "--as", "order", "--cart", str(file), *WHY)
    return (await run_command(system, *words)).code
