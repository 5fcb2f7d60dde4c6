"""Routes of a checkout: initiate, status, completion."""

import json
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import Address, Attempt, AttemptTooLarge, Contact
from payments_gateway.domain.intents import IntentRefused, IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import INITIATE, get, post, post_raw, token_for
from ..samples import ADA, ATTEMPT_ID, FOREIGN_ATTEMPT_ID, LONDON, OTHER_ATTEMPT_ID, address_json, checkout_json

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
STATUS = f"/api/checkout/{ATTEMPT_ID}"
SHIPPED = {"shippingAddress": address_json(), "shippingOptionId": "shr_post"}


def cart_json(*price_ids: str) -> dict[str, Any]:
    """Return the body of a request to begin a checkout of one piece of each."""
    return checkout_json(items=[{"priceId": price_id, "quantity": 1} for price_id in price_ids])


def complete_json(stored: Attempt, **changes: Any) -> dict[str, Any]:
    """Return the body that a browser sends when it returns."""
    return {"checkoutAttemptId": stored.attempt_id, "paymentIntentId": stored.intent.id, **changes}


async def test_a_checkout_is_initiated(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The response is all that Stripe.js and the page need, and no cache keeps it."""
    answer = await post(http, INITIATE, checkout_json())

    [stored] = gateway.attempts.stored()
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "clientSecret": "pi_1_secret_hush",
        "checkoutAttemptId": stored.attempt_id,
        "intentType": "payment",
        "intentAmount": 2500,
        "amountDueToday": 2500,
        "currency": "usd",
        "recurring": [],
        "payBy": "2030-01-02T12:00:00Z",
    }


async def test_a_mixed_cart_shows_what_is_due_now_today_and_later(http: aiohttp.ClientSession) -> None:
    """With the sum of each billing interval, and its trial."""
    answer = await post(http, INITIATE, cart_json("price_mug", "price_paper_trial", "price_club"))
    setup = await post(http, INITIATE, cart_json("price_paper_trial"))

    assert [answer.json[name] for name in ("intentType", "intentAmount", "amountDueToday")] == ["payment", 1250, 2150]
    assert answer.json["recurring"] == [
        {"interval": "week", "intervalCount": 1, "amount": 200, "currency": "usd", "trialDays": 14},
        {"interval": "month", "intervalCount": 1, "amount": 900, "currency": "usd", "trialDays": 0},
    ]
    assert [setup.json[name] for name in ("intentType", "intentAmount", "amountDueToday")] == ["setup", 0, 0]


async def test_everything_that_was_sent_is_stored(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Contact, address, shipping and cart, in every script; the user is the token's."""
    contact = {"email": "ada@example.com", "name": "Ада Лавлейс 👩‍💻", "phone": "+44 20"}

    await post(http, INITIATE, checkout_json(contact=contact, **SHIPPED), Authorization=token_for("user_ada"))

    [stored] = gateway.attempts.stored()
    context = stored.context
    assert context.contact == Contact("Ада Лавлейс 👩‍💻", "ada@example.com", "+44 20")
    assert (context.shipping_address, context.shipping_option is not None) == (LONDON, True)
    assert (context.user_id, context.total) == ("user_ada", Money(3000, "usd"))


async def test_what_stripes_elements_hand_over_is_stored(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A one-word name, blank and null for what the buyer has not, and a country in lower case."""
    contact = {"email": "ada@example.com", "name": "Ada", "phone": ""}
    address = {"line1": "1 Quay", "line2": None, "city": "", "state": " ", "postalCode": "", "country": "ie"}

    answer = await post(http, INITIATE, checkout_json(contact=contact, shippingAddress=address))

    assert answer.status == 200
    [stored] = gateway.attempts.stored()
    assert stored.context.contact == Contact("Ada", "ada@example.com", None)
    assert stored.context.shipping_address == Address("1 Quay", None, None, None, None, "IE")


@pytest.mark.parametrize(
    ("line1", "line2", "stored_lines"),
    [
        ("12 Main St\nApt 4", "", ("12 Main St, Apt 4", None)),
        ("\r\n12 Main St \r\n", "Apt 4\nRear", ("12 Main St", "Apt 4, Rear")),
        (" \n12 Main St\n ", " \n ", ("12 Main St", None)),
        ("12 Main St", "\n\u200b", ("12 Main St", None)),
    ],
)
async def test_the_lines_of_a_street_are_joined(
    http: aiohttp.ClientSession, gateway: Gateway, line1: str, line2: str, stored_lines: tuple[str, str | None]
) -> None:
    """Apple Pay hands them over as one text, which its buyer cannot change."""
    answer = await post(http, INITIATE, checkout_json(shippingAddress=address_json(line1=line1, line2=line2)))

    assert answer.status == 200
    [stored] = gateway.attempts.stored()
    assert stored.context.shipping_address is not None
    assert (stored.context.shipping_address.line1, stored.context.shipping_address.line2) == stored_lines


@pytest.mark.parametrize("price_id", ["gold-monthly", "Pro plan $699/month"])
async def test_a_price_of_any_id_is_looked_up(http: aiohttp.ClientSession, price_id: str) -> None:
    """Shops chose the ids of old plans, and the catalogue sells them."""
    answer = await post(http, INITIATE, cart_json(price_id))

    assert (answer.status, answer.kind) == (409, "cart_not_for_sale")


@pytest.mark.parametrize("invisible", ["\u200b", "\u2060 \ufeff", "\u3164", "\u00a0\u115f", "\ufe0f"], ids=ascii)
async def test_what_shows_nothing_is_blank(http: aiohttp.ClientSession, gateway: Gateway, invisible: str) -> None:
    """Characters that are no white space may still be invisible: there is no such phone and no such name."""
    contact = {"email": "ada@example.com", "name": "Ada", "phone": invisible}

    await post(http, INITIATE, checkout_json(contact=contact))
    nameless = await post(http, INITIATE, checkout_json(contact={**contact, "name": invisible}))

    [stored] = gateway.attempts.stored()
    assert stored.context.contact == Contact("Ada", "ada@example.com", None)
    assert (nameless.status, [each["field"] for each in nameless.json["errors"]]) == (422, ["contact.name"])


@pytest.mark.parametrize(
    "changes",
    [
        {"items": [{"priceId": "price_mug", "quantity": 3}]},
        {"items": [{"priceId": "price_pen", "quantity": 2}]},
        {"items": [{"priceId": "price_mug", "quantity": 1}, {"priceId": "price_mug", "quantity": 1}]},
        {"contact": {"email": "bob@example.com", "name": "Ada Lovelace"}},
        {"contact": {"email": "ada@example.com", "name": "Ada"}},
        {"contact": {"email": "ada@example.com", "name": "Ada Lovelace", "phone": "1"}},
        {"shippingAddress": address_json(city="Paris")},
        {"shippingAddress": None, "shippingOptionId": None},
        {"shippingOptionId": None},
    ],
)
async def test_another_request_with_the_same_key_is_a_conflict(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any]
) -> None:
    """Any difference in what was sent counts, and the first checkout stays."""
    await post(http, INITIATE, checkout_json(**SHIPPED), Idempotency_Key=KEY)

    answer = await post(http, INITIATE, checkout_json(**{**SHIPPED, **changes}), Idempotency_Key=KEY)

    assert (answer.status, answer.kind) == (409, "idempotency_key_reused")
    assert [stored.context.total for stored in gateway.attempts.stored()] == [Money(3000, "usd")]


async def test_the_same_request_spelled_otherwise_is_no_conflict(http: aiohttp.ClientSession) -> None:
    """Order of fields, white space, escapes, and absent, null or blank fields make no difference."""
    body = checkout_json(contact={"email": "ada@example.com", "name": "Zoë"})
    also = {"contact": {**body["contact"], "phone": ""}, "shippingAddress": None, "supersedes": None}
    backwards = dict(reversed(list({**body, **also}.items())))

    first = await post(http, INITIATE, body, Idempotency_Key=KEY)
    second = await post_raw(
        http, INITIATE, json.dumps(backwards, indent=4, ensure_ascii=False).encode(), Idempotency_Key=KEY
    )

    assert (second.status, second.text) == (200, first.text)


async def test_a_paid_checkout_shows_its_purchase(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """409 with the purchase, so that the page can show it instead of asking for money again."""
    await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY)
    gateway.intents.pay(gateway.attempts.stored()[0].intent)

    answer = await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY)

    assert (answer.status, answer.kind) == (409, "already_paid")
    assert answer.json["purchase"]["order"]["totalAmount"] == 2500
    assert "ada@example.com" not in answer.text


@pytest.mark.parametrize(
    ("call", "failure", "status", "kind"),
    [
        ("intents.create", StripeUnavailable(), 503, "temporarily_unavailable"),
        ("intents.create", IntentRefused("amount_too_small"), 422, "refused_by_stripe"),
        ("attempts.save", ServiceUnavailable("checkout-session"), 503, "temporarily_unavailable"),
        ("attempts.save", AttemptTooLarge(), 422, "checkout_too_large"),
        ("attempts.save", ZeroDivisionError("ada@example.com"), 500, "internal"),
    ],
)
async def test_a_failure_is_told_by_its_type(
    http: aiohttp.ClientSession, gateway: Gateway, call: str, failure: Exception, status: int, kind: str
) -> None:
    """A 503 has the time to wait; no problem has a secret or a detail."""
    gateway.wire.fail(call, failure)

    answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.kind) == (status, kind)
    assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)
    assert set(answer.json) == {"type", "title", "status", "requestId"}


@pytest.mark.parametrize(("sent", "passed_on"), [(None, "2"), (0.0, "2"), (17.2, "18"), (86_400.0, "60")])
async def test_stripes_retry_after_is_passed_on(
    http: aiohttp.ClientSession, gateway: Gateway, sent: float | None, passed_on: str
) -> None:
    """In whole seconds, rounded up, from two to sixty."""
    gateway.wire.fail("intents.create", StripeUnavailable(sent))

    answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.headers["Retry-After"]) == (503, passed_on)


async def test_a_paid_checkout_is_completed_when_the_browser_returns(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """200 with the purchase, whose sums add up."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent)

    answer = await post(http, "/api/orders", complete_json(stored))

    order = answer.json["order"]
    assert (answer.status, answer.json["status"], answer.json["subscriptions"]) == (200, "completed", [])
    assert (order["checkoutAttemptId"], order["status"], order["currency"]) == (ATTEMPT_ID, "paid", "usd")
    assert order["totalAmount"] == order["shippingOption"]["amount"] + sum(
        item["unitAmount"] * item["quantity"] for item in order["items"]
    )


async def test_p7_a_guests_purchase_shows_nothing_personal(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The attempt id is a capability for order number, lines and sums: no name, address or secret comes with it."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent)

    completed = await post(http, "/api/orders", complete_json(stored))
    status = await get(http, STATUS)

    assert status.json["purchase"] == completed.json
    for personal in (ADA.name, ADA.email, ADA.phone, LONDON.line1, LONDON.postal_code, "hush", stored.intent.id):
        assert str(personal) not in completed.text + status.text


async def test_a_payment_that_cannot_complete_the_checkout_is_told_by_its_type(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Unpaid, of another checkout, unknown to Stripe; one that is processing is 202."""
    stored = gateway.stored_attempt()
    other = gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)
    gateway.intents.pay(other.intent)

    refused = [
        await post(http, "/api/orders", complete_json(stored)),
        await post(http, "/api/orders", complete_json(stored, paymentIntentId=other.intent.id)),
        await post(http, "/api/orders", complete_json(stored, paymentIntentId="pi_made_up")),
    ]
    gateway.intents.change(stored.intent, status=IntentStatus.PROCESSING)
    processing = await post(http, "/api/orders", complete_json(stored))

    assert [(answer.status, answer.kind) for answer in refused] == [
        (409, "payment_not_succeeded"),
        (409, "intent_mismatch"),
        (404, "intent_not_found"),
    ]
    assert (processing.status, processing.json["status"]) == (202, "processing")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"checkoutAttemptId": "x"}, "checkoutAttemptId"),
        ({"checkoutAttemptId": "\ud800"}, "checkoutAttemptId"),
        ({"checkoutAttemptId": None}, "checkoutAttemptId"),
        ({"paymentIntentId": "ch_1"}, "paymentIntentId"),
        ({"paymentIntentId": "pi_1/../x"}, "paymentIntentId"),
        ({"paymentIntentId": None}, "paymentIntentId"),
        ({"setupIntentId": "seti_1"}, "paymentIntentId"),
        ({"setupIntentId": "pi_1"}, "setupIntentId"),
        ({"amount": 1}, "amount"),
    ],
)
async def test_a_completion_names_an_attempt_and_one_intent(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """By ids that look like Stripe's: they become part of a path there."""
    stored = gateway.stored_attempt()

    answer = await post(http, "/api/orders", complete_json(stored, **changes))

    assert (answer.status, answer.fields) == (422, [field])
    assert gateway.wire.calls == []


async def test_the_status_of_a_checkout_is_read(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """404 for an unknown one, 422 for an id that is none."""
    unknown = await get(http, STATUS)
    invalid = await get(http, STATUS.upper().replace("/API/CHECKOUT", "/api/checkout"))
    gateway.stored_attempt()
    known = await get(http, STATUS)

    assert (unknown.status, unknown.kind) == (404, "checkout_not_found")
    assert (invalid.status, invalid.fields) == (422, ["checkout_attempt_id"])
    assert (known.status, known.json) == (200, {"status": "open", "purchase": None})


MISTYPED = f"{ATTEMPT_ID[:-1]}{'0' if ATTEMPT_ID[-1] != '0' else '1'}"


@pytest.mark.parametrize("forged", [FOREIGN_ATTEMPT_ID, MISTYPED, KEY], ids=["foreign", "mistyped", "random"])
@pytest.mark.parametrize("stored", [False, True], ids=["unknown", "stored"])
async def test_an_id_that_is_not_ours_is_not_found_without_a_call(
    http: aiohttp.ClientSession, gateway: Gateway, forged: str, *, stored: bool
) -> None:
    """On each route that takes one: it costs neither the services nor Stripe anything."""
    if stored:
        gateway.stored_attempt(attempt_id=forged)

    answers = [
        await get(http, f"/api/checkout/{forged}"),
        await post(http, "/api/orders", {"checkoutAttemptId": forged, "paymentIntentId": "pi_1"}),
        await post(http, INITIATE, checkout_json(supersedes=forged), Idempotency_Key=KEY),
    ]

    assert [(answer.status, answer.kind) for answer in answers] == [(404, "checkout_not_found")] * 3
    assert gateway.wire.calls == []
