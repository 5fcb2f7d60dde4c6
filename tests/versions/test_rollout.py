"""Rollout and rollback: services of the newest release and of this checkout beside each other, on either schema.

Each step begins a checkout of each kind, replaces processes, and repeats, pays and completes it.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from devstack.stack_options import StackOptions
from tests.e2e.conftest import until
from tests.e2e.harness.backend import EmbeddedBackend
from tests.e2e.harness.products import Plans, mixed_cart, plan_cart, put_plans_on_sale
from tests.e2e.harness.shop import Cart, Checkout, Reply, Shop
from tests.e2e.harness.system import System, running_system

from .released import Release, check_out

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

GATEWAY: Final = ("gateway", "reconciler")
BACKENDS: Final = ("orders", "checkout-session")
_UNAVAILABLE: Final = 503
SERVICES: Final = (*GATEWAY, *BACKENDS)


async def test_purchases_of_each_kind_survive_a_rollout_and_a_rollback(tmp_path: Path) -> None:
    """A retry after each step gets the answer that was given before it, and each payment becomes its purchase."""
    release = check_out(tmp_path / "released")
    options = StackOptions(
        reconcilers=1, durable=False, seed=1, environment=dict.fromkeys(SERVICES, release.environment)
    )
    async with running_system(tmp_path / "home", options=options, embedded=True) as system:
        rollout = Rollout(system, release, await put_plans_on_sale(system))
        async with system.shop(user_id="user-1") as shop:
            await rollout.step(shop, {})
            await rollout.step(shop, dict.fromkeys(GATEWAY, True))
            await rollout.migrate()
            await rollout.step(shop, {})
            await rollout.step(shop, {"orders": True})
            await rollout.step(shop, {"checkout-session": True})
            await rollout.step(shop, dict.fromkeys(GATEWAY, False))
            await rollout.step(shop, dict.fromkeys(BACKENDS, False))
            await rollout.migrate_with_released_code()

            orders = await shop.all_orders()
            subscriptions = (await shop.subscriptions(limit="100")).ok()["subscriptions"]

    assert [len(orders), len(subscriptions)] == [rollout.orders, rollout.subscriptions]


class Rollout:
    """Steps of a rollout, with what was bought in them."""

    def __init__(self, system: System, release: Release, plans: Plans) -> None:
        if not isinstance(system.backend, EmbeddedBackend):
            raise TypeError("containers run images, not a checkout")
        self._backend = system.backend
        self._system = system
        self._release = release
        self._carts = {
            "one-time": system.cart(mug=2),
            "subscription": plan_cart(plans, tea=1),
            "mixed": mixed_cart(system, plans, {"mug": 1}, {"tea": 1}),
        }
        self.orders = self.subscriptions = 0

    async def migrate(self) -> None:
        """Migrate the database with the code of this checkout, beside the running services."""
        self._run("orders", current=True)
        await self._backend.run_command("orders", "migrate")
        self._run("orders", current=False)

    async def migrate_with_released_code(self) -> None:
        """Run the migration of the release once more, as a rollback does. It must succeed."""
        await self._backend.run_command("orders", "migrate")

    async def step(self, shop: Shop, current: Mapping[str, bool]) -> None:
        """Begin to buy, replace processes by this checkout's or the release's, and finish."""
        keys = {kind: str(uuid.uuid4()) for kind in self._carts}
        begun = {kind: await shop.checkout(cart, idempotency_key=keys[kind]) for kind, cart in self._carts.items()}
        for name, is_current in current.items():
            self._run(name, current=is_current)
            await self._backend.restart(name)
        for kind, cart in self._carts.items():
            await self._finish(shop, cart, keys[kind], begun[kind])

    async def _finish(self, shop: Shop, cart: Cart, key: str, begun: Checkout) -> None:
        # Each service has one replica here, so a request may meet a connection that its end has just closed.
        again = await _answered(lambda: shop.initiate(cart, idempotency_key=key))
        assert shop.granted(again) == begun
        (await shop.pay(begun)).ok()
        (await _answered(lambda: shop.complete(begun))).ok()
        await until(lambda: self._is_settled(begun), f"settling {begun.attempt_id[:8]}", seconds=30)
        self.orders += len(await self._system.orders_db.orders_of(begun.attempt_id))
        self.subscriptions += len(await self._system.orders_db.subscriptions_of(begun.attempt_id))

    async def _is_settled(self, checkout: Checkout) -> bool:
        bought = await self._system.orders_db.subscriptions_of(checkout.attempt_id)
        return (
            all(row["status"] != "pending" for row in bought)
            and bool(bought or await self._system.orders_db.orders_of(checkout.attempt_id))
            and not await self._system.attempt_store.has_content(checkout.attempt_id)
        )

    def _run(self, name: str, *, current: bool) -> None:
        environment = self._backend.environment_of(name)
        environment.clear()
        environment.update({} if current else self._release.environment)


async def _answered(call: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeat a call that is answered by 503, as a shop does."""
    replies: list[Reply] = []

    async def answered() -> bool:
        replies.append(await call())
        return replies[-1].status != _UNAVAILABLE

    await until(answered, "an answer other than 503")
    return replies[-1]
