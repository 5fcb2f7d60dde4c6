"""Buyers signed in by an OIDC issuer: the second gateway takes its tokens, on the whole system."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest_asyncio

from devstack.local_issuer import AUDIENCE, LocalIssuer, SigningKey

from .conftest import Waiter
from .harness.shop import Shop
from .harness.system import System

FIRST: Final = SigningKey.rsa("first")
SECOND: Final = SigningKey.ec("second")
NEVER_PUBLISHED: Final = SigningKey.ec("third")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer(system: System) -> AsyncIterator[LocalIssuer]:
    """Let the second gateway take an issuer's tokens, and then again those of the shared secret."""
    usual = system.backend.settings_of("gateway-2")["JWT_SECRET"]
    with LocalIssuer(FIRST, host=system.backend.host) as opened:
        await system.backend.restart(
            "gateway-2", {"JWT_SECRET": "", "OIDC_ISSUER": opened.url, "OIDC_AUDIENCE": AUDIENCE}
        )
        yield opened
        await system.backend.restart("gateway-2", {"JWT_SECRET": usual, "OIDC_ISSUER": "", "OIDC_AUDIENCE": ""})


@asynccontextmanager
async def shop_of(system: System, token: str) -> AsyncIterator[Shop]:
    """Open a shop at the second gateway for the bearer of a token."""
    async with system.shop(gateway=1) as shop:
        shop.session.headers["Authorization"] = f"Bearer {token}"
        yield shop


async def test_p6_what_an_issuers_user_buys_is_found_by_that_user_alone(
    system: System, issuer: LocalIssuer, settled: Waiter
) -> None:
    """Attempt, order, list, completion and supersedes: another user and a guest get 404, and change nothing."""
    cart = system.cart(mug=1)
    async with (
        shop_of(system, FIRST.sign(issuer.claims("user-ada"))) as ada,
        shop_of(system, FIRST.sign(issuer.claims("user-bob"))) as bob,
        system.shop(gateway=1) as guest,
    ):
        checkout = await ada.checkout(cart)
        strangers = [
            reply
            for stranger in (bob, guest)
            for reply in (
                await stranger.status(checkout.attempt_id),
                await stranger.come_back(checkout),
                await stranger.initiate(cart.superseding(checkout.attempt_id)),
            )
        ]
        still = (await ada.status(checkout.attempt_id)).ok()["status"]
        (await ada.pay(checkout)).ok()
        await settled(checkout)
        (order,) = await system.books.orders_of(checkout.attempt_id)
        own_order = (await ada.order(str(order["id"]))).ok()
        bobs_view = await bob.order(str(order["id"]))
        bobs_orders = (await bob.orders()).ok()

    assert [(reply.status, reply.problem) for reply in strangers] == [(404, "checkout_not_found")] * 6
    assert still == "open"
    assert order["user_id"] == "user-ada"
    assert own_order["checkoutAttemptId"] == checkout.attempt_id
    assert (bobs_view.status, bobs_view.problem) == (404, "order_not_found")
    assert bobs_orders["orders"] == []


async def test_p6_a_token_of_the_shared_secret_signs_nobody_in_beside_an_issuer(
    system: System, issuer: LocalIssuer, members_shop: Shop
) -> None:
    """One gateway takes one kind of token."""
    async with shop_of(system, members_shop.token("user-1")) as shop:
        reply = await shop.initiate(system.cart(mug=1))

    assert (reply.status, reply.problem) == (401, "unauthenticated")


async def test_a_key_that_signs_from_now_on_is_taken_at_once(system: System, issuer: LocalIssuer) -> None:
    """The issuer rotates while the gateway serves: tokens of both keys are good, and one read found the new one."""
    async with (
        shop_of(system, FIRST.sign(issuer.claims("user-ada"))) as before,
        shop_of(system, SECOND.sign(issuer.claims("user-ada"))) as after,
        shop_of(system, NEVER_PUBLISHED.sign(issuer.claims("user-ada"))) as impostor,
    ):
        (await before.orders()).ok()
        # The keys are read again for it, so that the pause until they may be read once more begins now.
        assert (await impostor.orders()).status == 401
        asked = issuer.jwks_requests
        issuer.publish(FIRST, SECOND)
        replies = await asyncio.gather(*(shop.orders() for shop in [before, after] * 10))

    assert {reply.status for reply in replies} == {200}
    assert issuer.jwks_requests == asked + 1
