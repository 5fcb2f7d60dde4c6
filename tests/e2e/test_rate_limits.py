"""Who begins too many checkouts is told when to come back, on a gateway as it is really started."""

from collections.abc import AsyncIterator
from typing import Final

import pytest_asyncio

from .harness.knobs import Knobs
from .harness.shop import Reply, Shop
from .harness.system import System

BURST: Final = 3
LIMITS: Final = {"INITIATE_PER_ADDRESS_PER_MINUTE": "1", "INITIATE_PER_ADDRESS_BURST": str(BURST)}


@pytest_asyncio.fixture(loop_scope="session")
async def limited_shop(system: System, knobs: Knobs) -> AsyncIterator[Shop]:
    """Open a shop at the second gateway, which limits addresses to a burst of three, and then as it did before."""
    usual = {name: value for name, value in system.backend.settings_of("gateway-2").items() if name in LIMITS}
    await system.backend.restart("gateway-2", LIMITS)
    async with system.shop(gateway=1) as shop:
        yield shop
    await system.backend.restart("gateway-2", {**usual, "TRUSTED_PROXIES": ""})


async def begin(system: System, shop: Shop, *, forwarded_for: str) -> Reply:
    """Ask for a checkout as a proxy would hand it on."""
    return await shop.request(
        "POST",
        "/api/stripe/initiate-checkout",
        json=system.cart(mug=1).as_body(),
        headers={"X-Forwarded-For": forwarded_for},
    )


async def test_a_card_tester_is_stopped_whatever_address_it_claims(
    system: System, limited_shop: Shop, knobs: Knobs
) -> None:
    """429 with Retry-After after the burst, though each request names another address; Stripe hears of no more."""
    mark = await knobs.requests_so_far()

    replies = [await begin(system, limited_shop, forwarded_for=f"203.0.113.{number}") for number in range(BURST + 3)]

    assert [reply.status for reply in replies] == [200] * BURST + [429] * 3
    assert replies[-1].problem == "rate_limited"
    assert 0 < int(replies[-1].headers["Retry-After"]) <= 60
    assert len(await knobs.requests("POST", "/v1/payment_intents", after=mark)) == BURST
    assert "203.0.113." not in system.backend.log_of("gateway-2")


async def test_behind_a_trusted_proxy_one_client_does_not_use_up_anothers_rate(
    system: System, limited_shop: Shop
) -> None:
    """The proxy's word counts, and only its own: what the client wrote before it does not."""
    await system.backend.restart("gateway-2", {"TRUSTED_PROXIES": f"{system.backend.host}/32"})

    tester = [await begin(system, limited_shop, forwarded_for=f"9.9.9.{n}, 203.0.113.1") for n in range(BURST + 1)]
    buyer = await begin(system, limited_shop, forwarded_for="203.0.113.2")

    assert [reply.status for reply in tester] == [200] * BURST + [429]
    assert buyer.status == 200
