import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ..assembly import Gateway
from ..http_edge import INITIATE, Answer, Edge, ask, post, post_raw, served
from ..samples import ATTEMPT_ID, address_json, checkout_json

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "Zaphod42"
"""Part of values that must not come back."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[tuple[Gateway, aiohttp.ClientSession]]:
    """Serve one gateway for all of this module: a refused request leaves no trace in it."""
    async with Gateway().opened() as opened, served(Edge(opened)) as client:
        yield opened, client


@pytest.fixture
def gateway(shared: tuple[Gateway, aiohttp.ClientSession]) -> Gateway:
    """Give the shared gateway without earlier calls."""
    shared[0].wire.calls.clear()
    return shared[0]


@pytest.fixture
def http(shared: tuple[Gateway, aiohttp.ClientSession]) -> aiohttp.ClientSession:
    """Give a client of the shared gateway."""
    return shared[1]


def item(**changes: Any) -> dict[str, Any]:
    """Return the change of a body to a second cart line with changes."""
    line = {"priceId": "price_mug", "quantity": 2}
    return {"items": [line, {**line, **changes}]}


def contact(**changes: Any) -> dict[str, Any]:
    """Return the change of a body to another contact."""
    return {"contact": {"email": "ada@example.com", "name": "Ada Lovelace", **changes}}


def address(**changes: Any) -> dict[str, Any]:
    """Return the change of a body to another address."""
    return {"shippingAddress": address_json(**changes)}


def assert_refused(answer: Answer, gateway: Gateway, *fields: str) -> None:
    """Demand a 422 that names these fields, quotes nothing, and left no trace."""
    assert (answer.status, answer.kind) == (422, "invalid_request")
    assert_named(answer, gateway, *fields)


def assert_named(answer: Answer, gateway: Gateway, *fields: str) -> None:
    """Demand a problem that names these fields, quotes nothing, and left no trace."""
    assert answer.fields == list(fields)
    assert CANARY not in answer.text
    assert gateway.wire.calls == []


QUANTITIES = [0, -1, 1.5, True, "2", 10**6 + 1, 10**30, None, [], {}, float("nan"), float("inf")]
PRICE_IDS = ["", CANARY + "\n", "p" * 256, "é" * 128, 7, None, "\0", "\ud800"]
NAMES = ["", " ", "\u3000", CANARY + "\0", CANARY + "\n", CANARY + "\x7f", CANARY + "\ud800", "n" * 257, 7]
PHONES = ["1" * 41, CANARY + "\0", 7]
COUNTRIES = ["GBR", "gbr", "G", "", "G1", "ÄÖ", "GB\n", 7, None]
LINES = ["\0", CANARY + "\t", "a" * 5001]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *[(item(quantity=quantity), "items[1].quantity") for quantity in QUANTITIES],
        *[(item(priceId=price_id), "items[1].priceId") for price_id in PRICE_IDS],
        ({"items": []}, "items"),
        ({"items": [{"priceId": "price_mug", "quantity": 2}] * 201}, "items"),
        ({"items": {}}, "items"),
        ({"items": "price_mug"}, "items"),
        ({"items": [[]]}, "items[0]"),
        ({"items": None}, "items"),
        ({"contact": None}, "contact"),
        *[(contact(name=name), "contact.name") for name in NAMES],
        *[(contact(phone=phone), "contact.phone") for phone in PHONES],
        *[(address(country=country), "shippingAddress.country") for country in COUNTRIES],
        *[
            (address(**{field: line}), f"shippingAddress.{field}")
            for field in ("line1", "line2", "city", "state", "postalCode")
            for line in LINES
        ],
        *[(address(line1=line), "shippingAddress.line1") for line in ("", "\u3000", None)],
        ({"shippingOptionId": "shr_post"}, "shippingAddress"),
        ({"shippingOptionId": CANARY + "\n", **address()}, "shippingOptionId"),
        ({"supersedes": CANARY}, "supersedes"),
        ({"supersedes": ATTEMPT_ID.upper()}, "supersedes"),
    ],
)
async def test_an_invalid_field_is_named(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """By its path as the client spells it; its value is not quoted (P7)."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert_refused(answer, gateway, field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (item(priceId="price_" + CANARY), "items[1].priceId"),
        ({"shippingOptionId": "shr_" + CANARY, **address()}, "shippingOptionId"),
    ],
)
async def test_what_the_shop_does_not_sell_is_named(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """As a conflict with the catalogue: the request is valid, and the frontend can say that something is gone."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert (answer.status, answer.kind) == (409, "cart_not_for_sale")
    assert_named(answer, gateway, field)


@pytest.mark.parametrize(
    "email",
    [
        "",
        CANARY,
        CANARY + "@",
        "@" + CANARY + ".com",
        CANARY + "@@example.com",
        CANARY + " x@example.com",
        CANARY + "@localhost",
        CANARY + "@exa_mple.com",
        CANARY + '"x@example.com',
        "x@xn--" + CANARY + ".com",
        CANARY + "\0@example.com",
        CANARY + "\ud800@example.com",
        CANARY + "@" + "x" * 300 + ".com",
        "x" * 3000 + "@example.com",
        7,
    ],
)
async def test_p7_an_invalid_email_address_is_not_quoted(
    http: aiohttp.ClientSession, gateway: Gateway, email: Any
) -> None:
    """Not even the character that is wrong."""
    answer = await post(http, INITIATE, checkout_json(**contact(email=email)))

    assert_refused(answer, gateway, "contact.email")
    assert answer.json["errors"][0]["message"] in {"must be an e-mail address", "Input should be a valid string"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"userId": CANARY}, "userId"),
        ({"unitAmount": 1}, "unitAmount"),
        ({"amount": 1, "currency": "usd"}, "amount"),
        (item(unitAmount=1), "items[1].unitAmount"),
        (item(unitPrice={"amount": CANARY}), "items[1].unitPrice"),
        (item(price_id="price_mug"), "items[1].price_id"),
        (contact(userId=CANARY), "contact.userId"),
        (address(zip=CANARY), "shippingAddress.zip"),
    ],
)
async def test_p6_unknown_fields_are_refused(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """A client that sends a price or a user must learn that they have no effect."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert (answer.status, answer.kind) == (422, "invalid_request")
    assert answer.fields[0] == field
    assert CANARY not in answer.text
    assert gateway.wire.calls == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({f"ada.{CANARY}@example.com": 1}, "body"),
        (contact(**{f"{CANARY} Lovelace": 1}), "contact"),
        (item(**{f"+49 {CANARY}": 1}), "items[1]"),
        (address(**{CANARY * 9: 1}), "shippingAddress"),
    ],
)
async def test_p7_an_unknown_field_that_could_be_somebodys_data_is_not_named(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], place: str
) -> None:
    """A client that swapped key and value learns the place only."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert_refused(answer, gateway, place)


@pytest.mark.parametrize("key", ["", CANARY, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "\xe9"])
async def test_a_guests_key_that_can_be_guessed_is_named(
    http: aiohttp.ClientSession, gateway: Gateway, key: str
) -> None:
    """As the header is spelled."""
    answer = await post(http, INITIATE, checkout_json(), Idempotency_Key=key)

    assert_refused(answer, gateway, "Idempotency-Key")


async def test_every_invalid_field_is_named_up_to_a_hundred(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A form can mark them all; a body full of errors gets a short response."""
    several = {"items": [{"priceId": "price_mug", "quantity": 0}], "contact": {"email": "x"}, "extra": 1}
    thousands = {**checkout_json(), **{f"{number:x}": 1 for number in range(20_000)}}

    answers = [await post(http, INITIATE, body) for body in (several, thousands)]

    assert_refused(answers[0], gateway, "items[0].quantity", "contact.email", "contact.name", "extra")
    assert (answers[1].status, len(answers[1].fields)) == (422, 100)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"items": [}',
        json.dumps(checkout_json()).encode()[:-1],
        b"[" * 200_000,
        b'{"items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": 1' + b"0" * 6000 + b"}",
        b'{"a": "\xff"}',
        b"\x80",
    ],
    ids=["open", "wrong", "cut short", "deep and open", "deep", "a number too long", "not UTF-8", "binary"],
)
async def test_a_body_that_is_not_json_is_400(http: aiohttp.ClientSession, gateway: Gateway, body: bytes) -> None:
    """No field is invalid."""
    answer = await post_raw(http, INITIATE, body)

    assert (answer.status, answer.kind) == (400, "malformed_json")
    assert gateway.wire.calls == []


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"7", b"NaN", b'{"\\ud800": 1}'])
async def test_json_that_is_no_object_is_invalid(http: aiohttp.ClientSession, gateway: Gateway, body: bytes) -> None:
    """The whole body is named."""
    answer = await post_raw(http, INITIATE, body)

    assert_refused(answer, gateway, "body")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_a_body_must_call_itself_json(http: aiohttp.ClientSession, gateway: Gateway, media_type: str) -> None:
    """So another site's page cannot post without a CORS preflight."""
    body = json.dumps(checkout_json()).encode()

    answer = await ask(http, "POST", INITIATE, body=body, headers={"Content-Type": media_type})

    assert (answer.status, answer.kind) == (415, "unsupported_media_type")
    assert gateway.wire.calls == []


async def test_the_limits_themselves_are_accepted(http: aiohttp.ClientSession) -> None:
    """256 KiB and 200 lines, in JSON that names its character set."""
    body = json.dumps(checkout_json(items=[{"priceId": "price_mug", "quantity": 1}] * 200)).encode()
    padded = body + b" " * (256 * 1024 - len(body))

    answer = await ask(http, "POST", INITIATE, body=padded, headers={"Content-Type": "Application/JSON; charset=utf-8"})

    assert (answer.status, answer.json["intentAmount"]) == (200, 200 * 1250)


async def pieces() -> AsyncIterator[bytes]:
    """Send 320 KiB without an announced length."""
    for _ in range(5):
        yield b" " * 64 * 1024


async def test_a_larger_body_is_refused(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """With or without an announced length."""
    for body in (b" " * (256 * 1024 + 1), pieces()):
        async with http.post(INITIATE, data=body, headers={"Content-Type": "application/json"}) as response:
            answer = Answer(response.status, response.headers, await response.text())

        assert (answer.status, answer.kind) == (413, "body_too_large")
    assert gateway.wire.calls == []


async def open_post(http: aiohttp.ClientSession, length: str, body: bytes = b"") -> tuple[Any, asyncio.StreamWriter]:
    """Begin a request with an announced length on a connection of its own."""
    address = http._base_url
    assert address is not None
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST {INITIATE} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: {length}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize(("length", "status"), [("307200", b"413"), ("0" * 5000 + "2", b"4"), ("9" * 4000, b"4")])
async def test_a_larger_body_is_refused_before_it_is_sent(
    http: aiohttp.ClientSession, length: str, status: bytes
) -> None:
    """By its announced length, which may be absurd."""
    reader, writer = await open_post(http, length, b"{}")

    status_line = await asyncio.wait_for(reader.readline(), timeout=5)

    writer.close()
    assert status_line.startswith(b"HTTP/1.1 " + status)


async def test_an_upload_that_breaks_off_has_no_effect(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Even if what arrived is a whole cart."""
    cart = json.dumps(checkout_json()).encode()
    _, writer = await open_post(http, str(len(cart) + 10), cart)

    writer.close()
    await writer.wait_closed()
    async with http.get("/livez"):
        pass

    assert gateway.wire.calls == []
