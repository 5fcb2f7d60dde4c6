"""Routes of orders and of the storefront."""

import aiohttp
import pytest

from payments_gateway.domain.purchases import Order, Purchase

from ..assembly import Gateway
from ..http_edge import PORTAL_URL, get, token_for
from ..samples import ADA, ATTEMPT_ID, CONTEXT, LONDON, catalogue, price

TOKEN = token_for("user_ada")


async def bought(gateway: Gateway, user_id: str | None, count: int = 1) -> list[Order]:
    """Let a user buy several times; return the orders, oldest first."""
    orders = []
    for _ in range(count):
        attempt_id = f"{ATTEMPT_ID[:-4]}{len(gateway.orders.decisions):04}"
        stored = gateway.stored_attempt(user_id=user_id, attempt_id=attempt_id)
        decision = await gateway.fulfil(gateway.intents.pay(stored.intent))
        assert isinstance(decision, Purchase)
        assert decision.order is not None
        orders.append(decision.order)
    return orders


async def test_an_owner_reads_an_order_with_contact_and_address(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Everything that was stored with it."""
    [order] = await bought(gateway, "user_ada")

    answer = await get(http, f"/api/orders/{order.id}", Authorization=TOKEN)

    assert answer.status == 200
    assert answer.json["contact"] == {"email": ADA.email, "name": ADA.name, "phone": ADA.phone}
    assert answer.json["shippingAddress"] == {
        "line1": LONDON.line1,
        "line2": None,
        "city": "London",
        "state": None,
        "postalCode": "SW1Y 4JH",
        "country": "GB",
    }
    assert (answer.json["number"], answer.json["totalAmount"]) == (order.number, CONTEXT.total.minor_units)


@pytest.mark.parametrize("owner", [None, "user_bob"])
async def test_another_users_order_is_not_found(
    http: aiohttp.ClientSession, gateway: Gateway, owner: str | None
) -> None:
    """Nor a guest's, like an unknown one."""
    [order] = await bought(gateway, owner)

    answers = [await get(http, f"/api/orders/{each}", Authorization=TOKEN) for each in (order.id, ATTEMPT_ID)]

    assert [(answer.status, answer.kind) for answer in answers] == [(404, "order_not_found")] * 2


async def test_a_user_pages_through_the_own_orders(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Newest first, each once, without other users' orders; none at first."""
    empty = await get(http, "/api/orders", Authorization=TOKEN)
    orders = await bought(gateway, "user_ada", 5)
    await bought(gateway, "user_bob", 2)

    numbers: list[str] = []
    path = "/api/orders?limit=2"
    while path:
        page = (await get(http, path, Authorization=TOKEN)).json
        numbers += [order["number"] for order in page["orders"]]
        path = f"/api/orders?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""

    assert empty.json == {"orders": [], "nextCursor": None}
    assert numbers == [order.number for order in reversed(orders)]


@pytest.mark.parametrize("path", ["/api/orders", "/api/subscriptions"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=zzz", "cursor"),
        (f"cursor={'1' * 501}", "cursor"),
    ],
)
async def test_an_invalid_page_is_refused(http: aiohttp.ClientSession, path: str, query: str, field: str) -> None:
    """The parameter is named."""
    answer = await get(http, f"{path}?{query}", Authorization=TOKEN)

    assert (answer.status, answer.kind, answer.fields) == (422, "invalid_request", [field])


async def test_the_catalogue_shows_what_can_be_bought(http: aiohttp.ClientSession) -> None:
    """Without unsellable prices; caches may keep it for a moment."""
    answer = await get(http, "/api/catalog")

    items = {item["priceId"]: item for item in answer.json["items"]}
    assert answer.headers["Cache-Control"] == "public, max-age=15"
    assert not {"price_tiered", "price_metered"} & set(items)
    assert items["price_mug"] == {
        "priceId": "price_mug",
        "productId": "prod_mug",
        "name": "Name of price_mug",
        "description": None,
        "imageUrl": None,
        "unitAmount": 1250,
        "currency": "usd",
        "type": "one_time",
        "recurring": None,
    }
    assert items["price_paper_trial"]["type"] == "recurring"
    assert items["price_paper_trial"]["recurring"] == {"interval": "week", "intervalCount": 1, "trialDays": 14}
    assert answer.json["shippingOptions"][0] == {
        "id": "shr_post",
        "name": "Name of shr_post",
        "amount": 500,
        "currency": "usd",
    }


async def test_a_known_catalogue_is_not_sent_again(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Until it changes; a proxy that compresses makes the tag a weak one."""
    known = (await get(http, "/api/catalog")).headers["ETag"]
    same = [await get(http, "/api/catalog", If_None_Match=tag) for tag in (known, f'"x", W/{known}', "*")]
    other = await get(http, "/api/catalog", If_None_Match='"x"')
    gateway.source.catalogue = catalogue(price("price_new", 100))
    await gateway.catalogue._cache.refresh()
    changed = await get(http, "/api/catalog", If_None_Match=known)

    assert [(each.status, each.text) for each in same] == [(304, "")] * 3
    assert all(each.headers["Cache-Control"] == "public, max-age=15" for each in same)
    assert (other.status, other.headers["ETag"]) == (200, known)
    assert changed.status == 200
    assert [item["priceId"] for item in changed.json["items"]] == ["price_new"]


async def test_without_current_prices_nothing_is_sold(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """503 for the catalogue; the configuration needs no prices."""
    gateway.clock.advance(7201)

    catalogue, config = await get(http, "/api/catalog"), await get(http, "/api/config")

    assert (catalogue.status, catalogue.kind) == (503, "temporarily_unavailable")
    assert config.json == {
        "publishableKey": "pk_test_1",
        "stripeJsUrl": "https://js.example/",
        "customerPortalUrl": PORTAL_URL,
    }
