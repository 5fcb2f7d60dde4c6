"""docker-compose.yml: `docker compose up --wait` alone starts a working system, and restarts lose nothing."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import pytest

from tests.containers.buying import buy, cart_of, until_completed
from tests.containers.compose_project import PUBLISHABLE_KEY, ComposeProject
from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.shop import Checkout, Shop

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]

SERVICES = ("payments-gateway", "reconciler", "checkout-session", "orders")
EVERYTHING = (*SERVICES, "stripe-simulator", "redis", "postgres")
HIGH_LIMITS = {
    f"GATEWAY_{limit}_PER_ADDRESS_{kind}": "1000000"
    for limit in ("INITIATE", "LOOKUP")
    for kind in ("PER_MINUTE", "BURST")
}
BUYERS_AT_ONCE = 4
_OK = 200
_CONNECT: Final = """
import socket
try: socket.create_connection({address!r}, 2)
except OSError: print("unreachable")
else: print("reachable")
"""


@pytest.fixture(scope="module")
def project() -> Iterator[ComposeProject]:
    """Start everything, with high rate limits: all buyers have one address."""
    with ComposeProject(HIGH_LIMITS) as running:
        running.up()
        yield running


@pytest.fixture
async def shop(project: ComposeProject) -> AsyncIterator[Shop]:
    """Open a guest's shop at the published ports."""
    async with Shop(
        gateway=project.gateway, stripe_api=project.stripe_api, publishable_key=PUBLISHABLE_KEY, jwt_secret=""
    ) as opened:
        yield opened


async def test_a_mixed_cart_is_bought(shop: Shop) -> None:
    """The webhook alone completes it: an order for the one-time line, active subscriptions for the others."""
    checkout = await shop.checkout(await cart_of(shop, "mug", "coffee", "almanac"))

    (await shop.pay(checkout)).ok()
    purchase = await until_completed(shop, checkout.attempt_id)

    assert purchase["order"]["totalAmount"] == 2300
    assert [each["status"] for each in purchase["subscriptions"]] == ["active", "active"]


async def test_the_operators_command_runs_in_the_gateways_image(project: ComposeProject, shop: Shop) -> None:
    """As docs/operators-command.md says: what was bought agrees with Stripe, and is explained."""
    checkout = await shop.checkout(await cart_of(shop, "mug", "coffee"))
    (await shop.pay(checkout)).ok()
    purchase = await until_completed(shop, checkout.attempt_id)
    holdfast = ("run", "--rm", "--no-deps", "--no-TTY", "payments-gateway", "holdfast")

    audited = json.loads(await asyncio.to_thread(project.compose, *holdfast, "audit", "--json"))
    explained = json.loads(
        await asyncio.to_thread(project.compose, *holdfast, "explain", purchase["order"]["number"], "--json")
    )

    assert (audited["agrees"], audited["differences"]) == (True, [])
    assert audited["purchases"] >= 1
    assert (explained["attempt"], explained["next"]) == (checkout.attempt_id, ["Nothing."])


async def test_the_shop_is_served(project: ComposeProject) -> None:
    """Its page is revalidated and its assets are kept for ever; Stripe.js comes from the simulator's published port."""
    async with aiohttp.ClientSession(project.gateway, raise_for_status=True) as http:
        async with http.get("/") as page, http.get("/api/config") as config:
            assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', await page.text())
            stripe_js = (await config.json())["stripeJsUrl"]
        shown = {}
        for url in [*assets, stripe_js]:
            async with http.get(url) as file:
                shown[url] = file.headers.get("Cache-Control")

    assert page.headers["Cache-Control"] == "no-cache"
    assert {shown[asset] for asset in assets} == {"public, max-age=31536000, immutable"}
    assert stripe_js == f"{project.stripe_api}/stripe.js"


@pytest.mark.parametrize("service", [*SERVICES, "redis", "postgres"])
async def test_no_checkout_is_lost_when_a_service_restarts(project: ComposeProject, shop: Shop, service: str) -> None:
    """Buyers keep buying meanwhile: every payment becomes one order, and none is quarantined."""
    before = outcomes(project)

    async with ControlApi(project.stripe_api) as control_api:
        await control_api.limit_rates(None, None)  # the buyers here pay faster than they allow
        async with buyers_buying(shop) as bought:
            await until_bought(bought, 3)
            await asyncio.to_thread(project.compose, "restart", service)
            await until_bought(bought, len(bought) + 3)
            await asyncio.to_thread(project.until_healthy, service)
        await control_api.until_idle()
        await control_api.advance_clock(seconds=6 * 3600)  # Stripe repeats a failed webhook after minutes and hours

    purchases = [await until_completed(shop, each.attempt_id) for each in bought]
    assert len({purchase["order"]["number"] for purchase in purchases}) == len(bought)
    assert all(
        purchase["order"]["totalAmount"] == each.amount for purchase, each in zip(purchases, bought, strict=True)
    )
    assert outcomes(project) - before == Counter({"purchase": len(bought)})


@asynccontextmanager
async def buyers_buying(shop: Shop) -> AsyncIterator[list[Checkout]]:
    """Let buyers buy mugs until the block ends; yield the paid checkouts."""
    cart, bought, closing = await cart_of(shop, "mug"), list[Checkout](), asyncio.Event()

    async def buy_on() -> None:
        while not closing.is_set():
            bought.append(await buy(shop, cart))

    async with asyncio.TaskGroup() as buyers:
        for _ in range(BUYERS_AT_ONCE):
            buyers.create_task(buy_on())
        try:
            yield bought
        finally:
            closing.set()


async def until_bought(bought: list[Checkout], count: int) -> None:
    """Wait until this many checkouts are paid."""
    async with asyncio.timeout(120):
        while len(bought) < count:  # noqa: ASYNC110 - many append to the list, and any of them may be the last
            await asyncio.sleep(0.05)


def outcomes(project: ComposeProject) -> Counter[str]:
    """Count payments by outcome."""
    query = "SELECT coalesce(json_agg(outcome), '[]') FROM payments"
    return Counter(project.sql(query))


@pytest.mark.parametrize("service", EVERYTHING)
def test_every_container_is_confined(project: ComposeProject, service: str) -> None:
    """Read-only root, no capabilities, restart after a crash, bounded logs."""
    container = project.inspect(service)["HostConfig"]

    assert container["ReadonlyRootfs"]
    assert container["CapDrop"] == ["ALL"]
    assert container["SecurityOpt"] == ["no-new-privileges:true"]
    assert container["RestartPolicy"]["Name"] == "unless-stopped"
    assert container["LogConfig"]["Config"]["max-size"]


@pytest.mark.parametrize("service", EVERYTHING)
def test_ports_are_published_on_loopback_alone(project: ComposeProject, service: str) -> None:
    """Only the gateway and the simulator publish ports."""
    ports = project.inspect(service)["NetworkSettings"]["Ports"]
    published = [place["HostIp"] for places in ports.values() for place in places or ()]

    assert published == (["127.0.0.1"] if service in {"payments-gateway", "stripe-simulator"} else [])


@pytest.mark.parametrize("store", ["redis", "postgres"])
@pytest.mark.parametrize("service", [*SERVICES, "stripe-simulator"])
def test_a_store_is_reached_by_its_service_alone(project: ComposeProject, service: str, store: str) -> None:
    """The other services cannot connect to its address."""
    (network,) = project.inspect(store)["NetworkSettings"]["Networks"].values()
    address = (network["IPAddress"], {"redis": 6379, "postgres": 5432}[store])

    found = project.compose("exec", "-T", service, "python", "-c", _CONNECT.format(address=address)).strip()

    owner = {"redis": "checkout-session", "postgres": "orders"}[store]
    assert found == ("reachable" if service == owner else "unreachable")


async def test_sigterm_drains_a_request_in_flight(project: ComposeProject, shop: Shop) -> None:
    """The initiate request in flight is answered; then the process exits with 0."""
    cart = await cart_of(shop, "mug")
    async with ControlApi(project.stripe_api) as control_api:
        held = await control_api.add_fault(kind="hold_before", method="POST", path="/v1/payment_intents", count=1)
        asking = asyncio.create_task(shop.initiate(cart))
        await control_api.until_held(held)
        stopping = asyncio.create_task(asyncio.to_thread(project.compose, "stop", "payments-gateway"))
        await until_log(project, "payments-gateway", "draining")

        await control_api.remove_fault(held)
        answered = await asking
        await stopping

    assert answered.status == _OK
    assert project.inspect("payments-gateway")["State"]["ExitCode"] == 0


async def until_log(project: ComposeProject, service: str, word: str) -> None:
    """Wait until a service has logged a word since its last start."""
    async with asyncio.timeout(60):
        since = project.inspect(service)["State"]["StartedAt"]
        log = ""
        while word not in log:
            log = await asyncio.to_thread(project.compose, "logs", f"--since={since}", service)


def test_everything_ends_in_order_and_down_leaves_nothing(project: ComposeProject) -> None:
    """Runs last: `stop` ends each process with 0, and `down -v` leaves no container, network or volume."""
    project.compose("stop")
    codes = {service: project.inspect(service)["State"]["ExitCode"] for service in EVERYTHING}
    before = project.left()

    project.down()

    assert codes == dict.fromkeys(EVERYTHING, 0)
    assert len(before) > len(EVERYTHING)
    assert project.left() == []
