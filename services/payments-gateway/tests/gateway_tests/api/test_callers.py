"""Callers at the HTTP edge: a token is checked before anything else, and what a user owns answers only that user."""

import aiohttp
import pytest

from devstack.local_issuer import SigningKey

from ..assembly import Gateway
from ..http_edge import INITIATE, Edge, get, post, served, token_for
from ..samples import checkout_json
from ..signing import VALIDATION, KeySet, cached, claims


@pytest.mark.parametrize("path", ["/api/orders", "/api/subscriptions"])
@pytest.mark.parametrize("authorization", [None, "Bearer canary"])
async def test_what_belongs_to_a_user_needs_a_valid_token(
    http: aiohttp.ClientSession, gateway: Gateway, path: str, authorization: str | None
) -> None:
    """401 as a problem that asks for a token and quotes none."""
    answer = await get(http, path, **({"Authorization": authorization} if authorization else {}))

    assert (answer.status, answer.kind) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert set(answer.json) == {"type", "title", "status", "requestId"}
    assert "canary" not in answer.text
    assert gateway.wire.calls == []


async def test_a_bad_token_is_no_guest(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A checkout is not begun for a guest when the buyer believes to be signed in."""
    answer = await post(http, INITIATE, checkout_json(), Authorization="Bearer nonsense")

    assert (answer.status, answer.kind) == (401, "unauthenticated")
    assert gateway.wire.calls == []


async def test_guests_are_refused_where_they_are_not_allowed(gateway: Gateway) -> None:
    """401, and the same request with a token is served."""
    async with served(Edge(gateway, allow_guests=False)) as http:
        guest = await post(http, INITIATE, checkout_json())
        user = await post(http, INITIATE, checkout_json(), Authorization=token_for("user_ada"))

    assert (guest.status, guest.kind, user.status) == (401, "unauthenticated", 200)


async def test_while_the_issuer_is_down_a_new_key_is_answered_503(gateway: Gateway) -> None:
    """401 would sign out a buyer whose token may be good. Known keys are served."""
    known, new = SigningKey.ec("known"), SigningKey.ec("new")
    source = KeySet(known)
    async with cached(source) as keys, served(Edge(gateway, keys=keys, validation=VALIDATION)) as http:
        source.down = True
        answers = [await get(http, "/api/orders", Authorization=f"Bearer {key.sign(claims())}") for key in (new, known)]

    assert [answer.status for answer in answers] == [503, 200]
    assert answers[0].kind == "temporarily_unavailable"
    assert int(answers[0].headers["Retry-After"]) > 0


async def test_rejected_tokens_are_counted_by_reason(http: aiohttp.ClientSession) -> None:
    """The metric names no part of the token."""
    await get(http, "/api/orders", Authorization="Bearer canary")
    await get(http, "/api/orders", Authorization="Basic canary")

    metrics = (await get(http, "/metrics")).text

    for reason in ("malformed", "scheme"):
        assert f'holdfast_tokens_rejected_total{{reason="{reason}"}}' in metrics
    assert "canary" not in metrics


async def test_p6_another_users_things_are_not_found(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Attempt, its completion, order and supersedes: 404 for another user and for a guest."""
    theirs = gateway.stored_attempt(user_id="user_ada")
    ada, bob = ({"Authorization": token_for(user_id)} for user_id in ("user_ada", "user_bob"))
    complete = {"checkoutAttemptId": theirs.attempt_id, "paymentIntentId": theirs.intent.id}

    refused = []
    for stranger in (bob, {}):
        refused += [
            await get(http, f"/api/checkout/{theirs.attempt_id}", **stranger),
            await post(http, "/api/orders", complete, **stranger),
            await post(http, INITIATE, checkout_json(supersedes=theirs.attempt_id), **stranger),
        ]
    gateway.intents.pay(theirs.intent)
    own = await post(http, "/api/orders", complete, **ada)
    order = f"/api/orders/{own.json['order']['id']}"
    others_order = await get(http, order, **bob)
    own_order = await get(http, order, **ada)

    assert {(answer.status, answer.kind) for answer in refused} == {(404, "checkout_not_found")}
    assert (others_order.status, others_order.kind) == (404, "order_not_found")
    assert (own.status, own_order.status) == (200, 200)
