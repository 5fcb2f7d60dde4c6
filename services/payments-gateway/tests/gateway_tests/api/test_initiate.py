import asyncio
import json
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import Attempt, AttemptTooLarge, Contact
from payments_gateway.domain.intents import IntentRefused
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.grpc_client import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import INITIATE, Edge, post, post_raw, served, token_for
from ..samples import LONDON, address_json, checkout_json

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"


def only_attempt(gateway: Gateway) -> Attempt:
    """Show the one attempt that is stored."""
    [stored] = gateway.attempts.stored()
    return stored


async def test_a_checkout_is_begun(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The answer is all that Stripe.js and the page need, and is kept by no cache."""
    answer = await post(http, INITIATE, checkout_json())

    stored = only_attempt(gateway)
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


async def test_everything_that_was_sent_is_stored(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Contact, address, shipping and cart, in every script; the user is the token's."""
    body = checkout_json(
        contact={"email": "ada@example.com", "name": "Ада Лавлейс 👩‍💻", "phone": "+44 20"},
        shippingAddress=address_json(),
        shippingOptionId="shr_post",
    )

    await post(http, INITIATE, body, Authorization=token_for("user_ada"))

    context = only_attempt(gateway).context
    assert context.contact == Contact("Ада Лавлейс 👩‍💻", "ada@example.com", "+44 20")
    assert context.shipping_address == LONDON
    assert context.shipping_option is not None
    assert (context.user_id, context.total) == ("user_ada", Money(3000, "usd"))


async def test_p2_twelve_equal_requests_at_once_get_equal_answers(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """A key makes impatient browsers one checkout."""
    answers = await asyncio.gather(*(post(http, INITIATE, checkout_json(), Idempotency_Key=KEY) for _ in range(12)))

    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].status == 200
    assert len(gateway.attempts.stored()) == len(gateway.intents.all()) == 1


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
        {"shippingAddress": None},
        {"shippingOptionId": None},
    ],
)
async def test_another_request_with_the_same_key_is_a_conflict(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any]
) -> None:
    """Any difference in what was sent counts, and the first checkout stays."""
    first = {"shippingAddress": address_json(), "shippingOptionId": "shr_post"}
    await post(http, INITIATE, checkout_json(**first), Idempotency_Key=KEY)
    changed = checkout_json(**{**first, **changes})
    if "shippingAddress" not in changed:
        del changed["shippingOptionId"]

    answer = await post(http, INITIATE, changed, Idempotency_Key=KEY)

    assert (answer.status, answer.kind) == (409, "idempotency_key_reused")
    assert only_attempt(gateway).context.total == Money(3000, "usd")
    assert len(gateway.intents.all()) == 1


async def test_the_same_request_spelled_otherwise_is_no_conflict(http: aiohttp.ClientSession) -> None:
    """Order of fields, white space, escapes and absent or null fields make no difference."""
    body = checkout_json(contact={"email": "ada@example.com", "name": "Zoë"})
    backwards = dict(reversed(list({**body, "shippingAddress": None, "supersedes": None}.items())))

    first = await post(http, INITIATE, body, Idempotency_Key=KEY)
    second = await post_raw(
        http, INITIATE, json.dumps(backwards, indent=4, ensure_ascii=False).encode(), Idempotency_Key=KEY
    )

    assert (second.status, second.text) == (200, first.text)


async def test_a_users_key_is_the_users_own(http: aiohttp.ClientSession) -> None:
    """Two users may send the same key without meeting."""
    ada = await post(http, INITIATE, checkout_json(), Idempotency_Key="1", Authorization=token_for("user_ada"))
    bob = await post(http, INITIATE, checkout_json(), Idempotency_Key="1", Authorization=token_for("user_bob"))

    assert (ada.status, bob.status) == (200, 200)
    assert ada.json["checkoutAttemptId"] != bob.json["checkoutAttemptId"]


async def test_a_paid_checkout_says_what_was_bought(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """409 with the purchase, so that the page can show it instead of asking for money again."""
    await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY)
    gateway.intents.pay(only_attempt(gateway).intent)

    answer = await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY)

    assert (answer.status, answer.kind) == (409, "already_paid")
    assert answer.json["purchase"]["order"]["totalAmount"] == 2500
    assert "ada@example.com" not in answer.text


async def test_a_replaced_checkout_is_closed(http: aiohttp.ClientSession) -> None:
    """The stale tab is told so."""
    first = await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY)
    supersedes = first.json["checkoutAttemptId"]
    await post(http, INITIATE, checkout_json(supersedes=supersedes))

    answer = await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY)

    assert (answer.status, answer.kind) == (409, "attempt_closed")


async def test_somebody_elses_checkout_cannot_be_replaced(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """404, as if it did not exist."""
    theirs = gateway.stored_attempt(user_id="user_ada")

    answer = await post(http, INITIATE, checkout_json(supersedes=theirs.attempt_id))

    assert (answer.status, answer.kind) == (404, "checkout_not_found")


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
async def test_every_failure_has_its_answer(
    http: aiohttp.ClientSession, gateway: Gateway, call: str, failure: Exception, status: int, kind: str
) -> None:
    """What may pass is a 503 with the time to wait; none of the answers carries a secret or a detail."""
    gateway.wire.fail(call, failure)

    answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.kind) == (status, kind)
    assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)
    assert set(answer.json) == {"type", "title", "status", "requestId"}
    assert "secret" not in answer.text


@pytest.mark.parametrize(("said", "sent"), [(None, "2"), (0.0, "1"), (17.2, "18"), (86_400.0, "60")])
async def test_stripes_retry_after_is_passed_on(
    http: aiohttp.ClientSession, gateway: Gateway, said: float | None, sent: str
) -> None:
    """In whole seconds, rounded up; never none, and never more than a minute."""
    gateway.wire.fail("intents.create", StripeUnavailable(said))

    answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.headers["Retry-After"]) == (503, sent)


async def test_without_prices_there_is_no_checkout(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """503, and readiness says so too."""
    gateway.clock.advance(7201)

    answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.kind) == (503, "temporarily_unavailable")


async def test_guests_are_refused_where_they_are_not_wanted(gateway: Gateway) -> None:
    """401, and the same request with a token is served."""
    async with served(Edge(gateway, allow_guests=False)) as http:
        guest = await post(http, INITIATE, checkout_json())
        user = await post(http, INITIATE, checkout_json(), Authorization=token_for("user_ada"))

    assert (guest.status, guest.kind) == (401, "unauthenticated")
    assert guest.headers["WWW-Authenticate"] == "Bearer"
    assert user.status == 200


async def test_a_bad_token_is_no_guest(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """401 even where guests are allowed: the buyer believes to be signed in."""
    answer = await post(http, INITIATE, checkout_json(), Authorization="Bearer nonsense")

    assert (answer.status, answer.kind) == (401, "unauthenticated")
    assert gateway.wire.calls == []
