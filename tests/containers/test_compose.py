"""`docker compose up --wait` alone gives a shop's backend that sells, and that forgets nothing when parts restart."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest

from tests.containers.compose_project import PUBLISHABLE_KEY, ComposeProject
from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.shop import Cart, Checkout, Line, Reply, Shop

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]

SERVICES = ("payments-gateway", "checkout-session", "orders")
EVERYTHING = (*SERVICES, "stripe-simulator", "redis", "postgres")
AMPLE = {
    f"GATEWAY_{limit}_PER_ADDRESS_{kind}": "1000000"
    for limit in ("INITIATE", "LOOKUP")
    for kind in ("PER_MINUTE", "BURST")
}
BUYERS_AT_ONCE = 4
_OK = 200
_LOOK: Final = """
import socket
try: socket.create_connection({place!r}, 2)
except OSError: print("no way")
else: print("reached")
"""


@pytest.fixture(scope="module")
def project() -> Iterator[ComposeProject]:
    """Start everything, with limits that a test does not reach: all its buyers have one address."""
    with ComposeProject(AMPLE) as running:
        running.up()
        yield running


@pytest.fixture
async def shop(project: ComposeProject) -> AsyncIterator[Shop]:
    """Open a shop for guests at the published ports."""
    async with Shop(
        gateway=project.gateway, stripe_api=project.stripe_api, publishable_key=PUBLISHABLE_KEY, jwt_secret=""
    ) as opened:
        yield opened


async def cart_of(shop: Shop, *slugs: str) -> Cart:
    """Return a cart of things that are on sale, with the cheapest way to ship what is shipped."""
    catalogue = (await shop.catalogue()).ok()
    on_sale = {item["productId"]: item for item in catalogue["items"]}
    chosen = [on_sale[f"holdfast_{slug}"] for slug in slugs]
    shipped = any(item["type"] == "one_time" for item in chosen)
    option = min(catalogue["shippingOptions"], key=lambda each: each["amount"])["id"]
    return Cart([Line(item["priceId"]) for item in chosen], shipping_option_id=option if shipped else None)


async def until(found: Callable[[], Awaitable[Reply | None]], *, seconds: float = 120) -> Reply:
    """Ask until there is an answer, as a browser does while a part of the system is away."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if (reply := await found()) is not None:
                    return reply
            except (aiohttp.ClientError, ConnectionError):
                pass
            await asyncio.sleep(0.1)


async def until_completed(shop: Shop, attempt_id: str) -> Any:
    """Ask where a checkout stands until it is completed and nothing is pending; return its purchase."""

    async def completed() -> Reply | None:
        reply = await shop.status(attempt_id)
        if reply.status != _OK or reply.body["status"] != "completed":
            return None
        return None if any(each["status"] == "pending" for each in reply.body["purchase"]["subscriptions"]) else reply

    return (await until(completed)).body["purchase"]


@pytest.mark.parametrize(
    ("slugs", "total", "subscriptions"),
    [(("mug",), 2300, 0), (("coffee",), None, 1), (("mug", "coffee", "almanac"), 2300, 2)],
    ids=["one-time", "subscription", "mixed"],
)
async def test_each_kind_of_cart_is_bought(
    shop: Shop, slugs: tuple[str, ...], total: int | None, subscriptions: int
) -> None:
    """The webhook alone completes it: the order over what was paid once, active subscriptions for the rest."""
    checkout = await shop.checkout(await cart_of(shop, *slugs))

    (await shop.pay(checkout)).ok()
    purchase = await until_completed(shop, checkout.attempt_id)

    assert (purchase["order"] or {}).get("totalAmount") == total
    assert [each["status"] for each in purchase["subscriptions"]] == ["active"] * subscriptions


@pytest.mark.parametrize("service", [*SERVICES, "redis", "postgres"])
async def test_no_checkout_is_lost_when_a_part_restarts(project: ComposeProject, shop: Shop, service: str) -> None:
    """Buyers keep buying meanwhile: each who paid has one order, and no payment is set aside."""
    before = recorded(project)

    async with buyers_buying(shop) as bought:
        await until_bought(bought, 3)
        await asyncio.to_thread(project.compose, "restart", service)
        await until_bought(bought, len(bought) + 3)
        await asyncio.to_thread(project.until_healthy, service)

    purchases = [await until_completed(shop, each.attempt_id) for each in bought]
    assert len({purchase["order"]["number"] for purchase in purchases}) == len(bought)
    assert all(
        purchase["order"]["totalAmount"] == each.amount for purchase, each in zip(purchases, bought, strict=True)
    )
    assert recorded(project) - before == Counter({"purchase": len(bought)})


@asynccontextmanager
async def buyers_buying(shop: Shop) -> AsyncIterator[list[Checkout]]:
    """Let buyers buy, one mug after the other, until the block ends; yields who has paid so far."""
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


async def buy(shop: Shop, cart: Cart) -> Checkout:
    """Buy as a frontend does: what is not answered is asked again, with the same key."""
    key = str(uuid.uuid4())

    async def granted() -> Reply | None:
        reply = await shop.initiate(cart, idempotency_key=key)
        return None if reply.status >= 500 else reply

    checkout = shop.granted(await until(granted))
    (await shop.pay(checkout)).ok()
    return checkout


async def until_bought(bought: list[Checkout], count: int) -> None:
    """Wait until so many have paid."""
    async with asyncio.timeout(120):
        while len(bought) < count:  # noqa: ASYNC110 - many append to the list, and any of them may be the last
            await asyncio.sleep(0.05)


def recorded(project: ComposeProject) -> Counter[str]:
    """Count payments by what became of them."""
    return Counter(
        project.sql(
            "SELECT coalesce(json_object_agg(outcome, n), '{}') FROM"
            " (SELECT outcome, count(*) AS n FROM payments GROUP BY outcome) AS counted"
        )
    )


@pytest.mark.parametrize("service", EVERYTHING)
def test_every_container_is_confined(project: ComposeProject, service: str) -> None:
    """A root that cannot be written, no privileges to gain, back after a crash, bounded logs."""
    container = project.inspect(service)["HostConfig"]

    assert container["ReadonlyRootfs"]
    assert container["CapDrop"] == ["ALL"]
    assert container["SecurityOpt"] == ["no-new-privileges:true"]
    assert container["RestartPolicy"]["Name"] == "unless-stopped"
    assert container["LogConfig"]["Config"]["max-size"]


@pytest.mark.parametrize("service", EVERYTHING)
def test_ports_are_published_on_loopback_alone(project: ComposeProject, service: str) -> None:
    """And only those of the gateway and of the simulator."""
    ports = project.inspect(service)["NetworkSettings"]["Ports"]
    published = [place["HostIp"] for places in ports.values() for place in places or ()]

    assert published == (["127.0.0.1"] if service in {"payments-gateway", "stripe-simulator"} else [])


@pytest.mark.parametrize("store", ["redis", "postgres"])
@pytest.mark.parametrize("service", [*SERVICES, "stripe-simulator"])
def test_a_store_is_reached_by_its_service_alone(project: ComposeProject, service: str, store: str) -> None:
    """For the others there is no way to its address, whatever they call it."""
    (network,) = project.inspect(store)["NetworkSettings"]["Networks"].values()
    place = (network["IPAddress"], {"redis": 6379, "postgres": 5432}[store])
    look = _LOOK.format(place=place)

    found = project.compose("exec", "-T", service, "python", "-c", look).strip()

    owner = {"redis": "checkout-session", "postgres": "orders"}[store]
    assert found == ("reached" if service == owner else "no way")


async def test_sigterm_lets_a_request_under_way_finish(project: ComposeProject, shop: Shop) -> None:
    """The buyer whose checkout is being made is answered; then the process ends by itself, with 0."""
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
    """Stands last: `stop` ends each process with 0, and `down -v` leaves no container, network or volume."""
    project.compose("stop")
    codes = {service: project.inspect(service)["State"]["ExitCode"] for service in EVERYTHING}
    before = project.left()

    project.down()

    assert codes == dict.fromkeys(EVERYTHING, 0)
    assert len(before) > len(EVERYTHING)
    assert project.left() == []
