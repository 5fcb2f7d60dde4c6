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
    """Serve one gateway for all of this module: what is refused leaves no trace in it."""
    async with Gateway().opened() as opened, served(Edge(opened)) as client:
        yield opened, client


@pytest.fixture
def gateway(shared: tuple[Gateway, aiohttp.ClientSession]) -> Gateway:
    """Give the shared gateway, its calls forgotten."""
    shared[0].wire.calls.clear()
    return shared[0]


@pytest.fixture
def http(shared: tuple[Gateway, aiohttp.ClientSession]) -> aiohttp.ClientSession:
    """Give a client of the shared gateway."""
    return shared[1]


def line(**changes: Any) -> dict[str, Any]:
    """Return one cart line."""
    return {"priceId": "price_mug", "quantity": 2, **changes}


def contact(**changes: Any) -> dict[str, Any]:
    """Return a contact."""
    return {"email": "ada@example.com", "name": "Ada Lovelace", **changes}


def assert_refused(answer: Answer, gateway: Gateway, *fields: str) -> None:
    """Demand a 422 that names these fields, quotes nothing, and left no trace."""
    assert (answer.status, answer.kind) == (422, "invalid_request")
    assert answer.fields == list(fields)
    assert CANARY not in answer.text
    assert gateway.wire.calls == []


@pytest.mark.parametrize(
    "quantity", [0, -1, 1.5, 1.0, True, "2", 10**6 + 1, 10**9, 10**30, None, [], {}, float("nan"), float("inf")]
)
async def test_a_quantity_is_a_whole_number_of_pieces(
    http: aiohttp.ClientSession, gateway: Gateway, quantity: Any
) -> None:
    """From one to a million, as a JSON integer and nothing that could be taken for one."""
    answer = await post(http, INITIATE, checkout_json(items=[line(), line(quantity=quantity)]))

    assert_refused(answer, gateway, "items[1].quantity")


@pytest.mark.parametrize(
    "price_id", ["", CANARY + " ", CANARY + "\n", "price/" + CANARY, "p" * 256, 7, None, "\0", "\ud800"]
)
async def test_a_price_id_looks_like_stripes(http: aiohttp.ClientSession, gateway: Gateway, price_id: Any) -> None:
    """Letters, digits and underscores."""
    answer = await post(http, INITIATE, checkout_json(items=[line(priceId=price_id)]))

    assert_refused(answer, gateway, "items[0].priceId")


@pytest.mark.parametrize("price_id", ["price_" + CANARY, "price_metered", "price_tiered"])
async def test_a_price_that_is_not_sold_is_named(http: aiohttp.ClientSession, gateway: Gateway, price_id: str) -> None:
    """Unknown, inactive, subscription and tiered prices are refused by their place in the cart."""
    answer = await post(http, INITIATE, checkout_json(items=[line(), line(priceId=price_id)]))

    assert_refused(answer, gateway, "items[1].priceId")


@pytest.mark.parametrize("items", [[], [line()] * 201, None, {}, "price_mug", [None], [[]]])
async def test_a_cart_has_one_to_two_hundred_lines(http: aiohttp.ClientSession, gateway: Gateway, items: Any) -> None:
    """As a list of objects."""
    answer = await post(http, INITIATE, {**checkout_json(), "items": items})

    assert (answer.status, answer.kind) == (422, "invalid_request")
    assert answer.fields[0].startswith("items")
    assert gateway.wire.calls == []


async def test_two_hundred_lines_are_a_cart(http: aiohttp.ClientSession) -> None:
    """The limit itself is within the limit."""
    answer = await post(http, INITIATE, checkout_json(items=[line(quantity=1)] * 200))

    assert (answer.status, answer.json["intentAmount"]) == (200, 200 * 1250)


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([line(), line(priceId="price_tee_eur")], "items[1].priceId"),
        ([line(priceId="price_gift")], "items"),
        ([line(priceId="price_cent")], "items"),
        ([line(priceId="price_car")], "items"),
        ([line(priceId="price_odd_kwd", quantity=1)], "items"),
    ],
    ids=["two currencies", "nothing", "too little", "too much", "odd fils"],
)
async def test_a_sum_that_stripe_would_refuse_is_refused(
    http: aiohttp.ClientSession, gateway: Gateway, items: list[dict[str, Any]], field: str
) -> None:
    """Before an intent is made."""
    answer = await post(http, INITIATE, checkout_json(items=items))

    assert_refused(answer, gateway, field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"userId": CANARY}, "userId"),
        ({"unitAmount": 1}, "unitAmount"),
        ({"amount": 1, "currency": "usd"}, "amount"),
        ({"items": [line(unitAmount=1)]}, "items[0].unitAmount"),
        ({"items": [line(unitPrice={"amount": CANARY})]}, "items[0].unitPrice"),
        ({"contact": contact(userId=CANARY)}, "contact.userId"),
        ({"shippingAddress": address_json(zip=CANARY)}, "shippingAddress.zip"),
    ],
)
async def test_p6_unknown_fields_are_refused(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """A client that thinks it can say what something costs, or who it is, must learn that it cannot."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert (answer.status, answer.kind) == (422, "invalid_request")
    assert answer.fields[0] == field
    assert CANARY not in answer.text
    assert gateway.wire.calls == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({f"ada.{CANARY}@example.com": 1}, "body"),
        ({"contact": contact(**{f"{CANARY} Lovelace": 1})}, "contact"),
        ({"items": [line(**{f"+49 {CANARY}": 1})]}, "items[0]"),
        ({"shippingAddress": address_json(**{CANARY * 9: 1})}, "shippingAddress"),
    ],
)
async def test_p7_an_unknown_field_that_could_be_somebodys_data_is_not_named(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], place: str
) -> None:
    """A client that swapped key and value is told where, and nothing is repeated."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert_refused(answer, gateway, place)


async def test_fields_have_one_spelling(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Snake case is as unknown as any other name."""
    answer = await post(http, INITIATE, checkout_json(items=[{"price_id": "price_mug", "quantity": 1}]))

    assert_refused(answer, gateway, "items[0].priceId", "items[0].price_id")


@pytest.mark.parametrize("field", ["items", "contact"])
async def test_a_field_that_is_missing_is_named(http: aiohttp.ClientSession, gateway: Gateway, field: str) -> None:
    """What is required is."""
    answer = await post(http, INITIATE, checkout_json(**{field: None}))

    assert_refused(answer, gateway, field)


@pytest.mark.parametrize(
    "name", ["", " ", "\u3000", "\t", CANARY + "\0", CANARY + "\n", CANARY + "\x7f", CANARY + "\ud800", "n" * 257, 7]
)
async def test_a_name_is_text(http: aiohttp.ClientSession, gateway: Gateway, name: Any) -> None:
    """Not blank, not too long, and of characters that every store can keep."""
    answer = await post(http, INITIATE, checkout_json(contact=contact(name=name)))

    assert_refused(answer, gateway, "contact.name")


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
async def test_p7_a_refused_email_address_is_not_quoted(
    http: aiohttp.ClientSession, gateway: Gateway, email: Any
) -> None:
    """Not even the character that was wrong."""
    answer = await post(http, INITIATE, checkout_json(contact=contact(email=email)))

    assert_refused(answer, gateway, "contact.email")
    assert answer.json["errors"][0]["message"] in {"must be an e-mail address", "Input should be a valid string"}


@pytest.mark.parametrize("phone", ["", " ", "1" * 41, CANARY + "\0", 7])
async def test_a_phone_number_is_short_text(http: aiohttp.ClientSession, gateway: Gateway, phone: Any) -> None:
    """Or absent."""
    answer = await post(http, INITIATE, checkout_json(contact=contact(phone=phone)))

    assert_refused(answer, gateway, "contact.phone")


@pytest.mark.parametrize("country", ["gb", "GBR", "G", "", "G1", "ÄÖ", "GB\n", 7, None])
async def test_a_country_is_two_capital_letters(http: aiohttp.ClientSession, gateway: Gateway, country: Any) -> None:
    """As ISO 3166 has them and Stripe takes them."""
    answer = await post(http, INITIATE, checkout_json(shippingAddress=address_json(country=country)))

    assert_refused(answer, gateway, "shippingAddress.country")


@pytest.mark.parametrize("field", ["line1", "line2", "city", "state", "postalCode"])
@pytest.mark.parametrize("value", ["", "\0", CANARY + "\r\n", "a" * 5001])
async def test_an_address_is_text(http: aiohttp.ClientSession, gateway: Gateway, field: str, value: str) -> None:
    """Every line of it."""
    answer = await post(http, INITIATE, checkout_json(shippingAddress=address_json(**{field: value})))

    assert_refused(answer, gateway, f"shippingAddress.{field}")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"shippingOptionId": "shr_post"}, "shippingAddress"),
        ({"shippingOptionId": "shr_" + CANARY, "shippingAddress": address_json()}, "shippingOptionId"),
        ({"shippingOptionId": "shr_post_eur", "shippingAddress": address_json()}, "shippingOptionId"),
        ({"shippingOptionId": CANARY + "!", "shippingAddress": address_json()}, "shippingOptionId"),
        ({"supersedes": CANARY}, "supersedes"),
        ({"supersedes": ATTEMPT_ID.upper()}, "supersedes"),
    ],
    ids=["no address", "unknown rate", "other currency", "no id", "no UUID", "upper case"],
)
async def test_other_fields_are_named_too(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """Shipping that is not offered or leads nowhere, and ids that are none."""
    answer = await post(http, INITIATE, checkout_json(**changes))

    assert_refused(answer, gateway, field)


@pytest.mark.parametrize("key", ["", CANARY, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "\xe9"])
async def test_a_guests_key_that_can_be_guessed_is_named(
    http: aiohttp.ClientSession, gateway: Gateway, key: str
) -> None:
    """The header is named as it is spelled."""
    answer = await post(http, INITIATE, checkout_json(), Idempotency_Key=key)

    assert_refused(answer, gateway, "Idempotency-Key")


async def test_all_faults_are_named_at_once(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The form can mark every field in one go."""
    body = checkout_json(items=[line(quantity=0)], contact={"email": "x"}, extra=1)

    answer = await post(http, INITIATE, body)

    assert_refused(answer, gateway, "items[0].quantity", "contact.email", "contact.name", "extra")


async def test_a_body_full_of_faults_is_answered_shortly(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A hundred are named; the answer is no larger than the request, whatever the client makes up."""
    body = {**checkout_json(), **{f"{number:x}": 1 for number in range(20_000)}}

    answer = await post(http, INITIATE, body)

    assert (answer.status, len(answer.fields)) == (422, 100)
    assert gateway.wire.calls == []


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
async def test_broken_json_is_told_apart(http: aiohttp.ClientSession, gateway: Gateway, body: bytes) -> None:
    """400: no field is to blame."""
    answer = await post_raw(http, INITIATE, body)

    assert (answer.status, answer.kind) == (400, "malformed_json")
    assert gateway.wire.calls == []


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"7", b"NaN", b'{"\\ud800": 1}'])
async def test_json_that_is_no_object_is_refused(http: aiohttp.ClientSession, gateway: Gateway, body: bytes) -> None:
    """As a whole."""
    answer = await post_raw(http, INITIATE, body)

    assert_refused(answer, gateway, "body")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_a_body_must_call_itself_json(http: aiohttp.ClientSession, gateway: Gateway, media_type: str) -> None:
    """So no page of another site can post without asking by CORS first."""
    body = json.dumps(checkout_json()).encode()

    answer = await ask(http, "POST", INITIATE, body=body, headers={"Content-Type": media_type})

    assert (answer.status, answer.kind) == (415, "unsupported_media_type")
    assert gateway.wire.calls == []


async def test_json_may_name_its_character_set(http: aiohttp.ClientSession) -> None:
    """And be written in capitals."""
    body = json.dumps(checkout_json()).encode()

    answer = await ask(http, "POST", INITIATE, body=body, headers={"Content-Type": "Application/JSON; charset=utf-8"})

    assert answer.status == 200


def _padded(size: int) -> bytes:
    body = json.dumps(checkout_json()).encode()
    return body + b" " * (size - len(body))


async def test_a_body_of_256_kib_is_read(http: aiohttp.ClientSession) -> None:
    """The limit itself is within the limit."""
    answer = await post_raw(http, INITIATE, _padded(256 * 1024))

    assert answer.status == 200


@pytest.mark.parametrize("size", [256 * 1024 + 1, 300 * 1024])
async def test_a_larger_body_is_refused(http: aiohttp.ClientSession, gateway: Gateway, size: int) -> None:
    """413 by its announced length, before it is read."""
    answer = await post_raw(http, INITIATE, _padded(size))

    assert (answer.status, answer.kind) == (413, "body_too_large")
    assert gateway.wire.calls == []


async def test_a_larger_body_is_refused_before_it_is_sent(http: aiohttp.ClientSession) -> None:
    """The announcement alone is enough: nobody waits for the rest."""
    address = http._base_url
    assert address is not None
    reader, writer = await asyncio.open_connection(address.host, address.port)

    writer.write(
        f"POST {INITIATE} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n".encode()
        + b"Content-Length: 307200\r\n\r\n"
    )
    status_line = await asyncio.wait_for(reader.readline(), timeout=5)

    writer.close()
    assert status_line.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", ["0" * 5000 + "2", "9" * 4000])
async def test_a_length_of_many_digits_is_no_failure_of_ours(http: aiohttp.ClientSession, length: str) -> None:
    """Whatever is announced, the answer is the client's fault."""
    address = http._base_url
    assert address is not None
    reader, writer = await asyncio.open_connection(address.host, address.port)

    writer.write(
        f"POST {INITIATE} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n".encode()
        + f"Content-Length: {length}\r\n\r\n{{}}".encode()
    )
    status_line = await asyncio.wait_for(reader.readline(), timeout=5)

    writer.close()
    assert status_line.startswith(b"HTTP/1.1 4")


async def test_an_upload_that_breaks_off_does_nothing(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A whole cart followed by a promise of more is not what the client meant to send."""
    address = http._base_url
    assert address is not None
    cart = json.dumps(checkout_json()).encode()
    _, writer = await asyncio.open_connection(address.host, address.port)

    writer.write(
        f"POST {INITIATE} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n".encode()
        + f"Content-Length: {len(cart) + 10}\r\n\r\n".encode()
        + cart
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with http.get("/livez"):
        pass

    assert gateway.wire.calls == []


async def test_a_larger_body_in_pieces_is_refused(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """413 although no length was announced."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 64 * 1024

    async with http.post(INITIATE, data=pieces(), headers={"Content-Type": "application/json"}) as response:
        answer = Answer(response.status, response.headers, await response.text())

    assert (answer.status, answer.kind) == (413, "body_too_large")
    assert gateway.wire.calls == []
