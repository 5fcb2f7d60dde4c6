"""How often one may ask, at the HTTP edge."""

import asyncio
import re
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

import aiohttp
import pytest

from ..access.test_rate_limits import SLOW
from ..assembly import Gateway
from ..http_edge import INITIATE, Answer, Edge, Limits, ask, deliver, event_body, get, post, served, token_for
from ..samples import checkout_json

KEY: Final = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BY_ADDRESS: Final = Limits(initiate_by_address=SLOW)
BY_USER: Final = Limits(initiate_by_user=SLOW)
LOOKUPS: Final = Limits(lookup_by_address=SLOW)
BEHIND_A_PROXY: Final = replace(BY_ADDRESS, trusted_proxies=(ip_network("127.0.0.0/8"),))


async def begin(http: aiohttp.ClientSession, times: int, **headers: str) -> list[Answer]:
    """Begin checkouts, one after the other."""
    return [await post(http, INITIATE, checkout_json(), **headers) for _ in range(times)]


def statuses(answers: list[Answer]) -> list[int]:
    """Return the answers' statuses."""
    return [answer.status for answer in answers]


async def test_an_address_that_begins_too_many_checkouts_is_told_when_to_come_back(gateway: Gateway) -> None:
    """429 as a problem with a truthful Retry-After, which a page may read; nothing is begun meanwhile."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = await begin(http, 3)
        [refused] = await begin(http, 1, Origin="https://shop.example")
        gateway.clock.advance(int(refused.headers["Retry-After"]) - 1)
        early = await begin(http, 1)
        gateway.clock.advance(1)
        later = await begin(http, 2)

    assert statuses([*answers, refused, *early, *later]) == [200, 200, 200, 429, 429, 200, 429]
    assert (refused.kind, refused.headers["Retry-After"]) == ("rate_limited", "10")
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
    assert set(refused.json) == {"type", "title", "status", "requestId"}
    assert len(gateway.intents.all()) == 4


async def test_a_user_is_limited_wherever_from(gateway: Gateway) -> None:
    """One account over many addresses is one user; another user and guests are not touched."""
    limits = replace(BY_USER, trusted_proxies=BEHIND_A_PROXY.trusted_proxies)
    async with served(Edge(gateway, limits=limits)) as http:
        ada = [
            (await begin(http, 1, Authorization=token_for("user_ada"), X_Forwarded_For=f"203.0.113.{number}"))[0]
            for number in range(5)
        ]
        bob = await begin(http, 1, Authorization=token_for("user_bob"))
        guest = await begin(http, 5)

    assert statuses(ada) == [200, 200, 200, 429, 429]
    assert statuses([*bob, *guest]) == [200] * 6


async def test_many_users_of_one_address_share_its_limit(gateway: Gateway) -> None:
    """Who makes accounts by the dozen gains nothing."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = [(await begin(http, 1, Authorization=token_for(f"user_{number}")))[0] for number in range(4)]

    assert statuses(answers) == [200, 200, 200, 429]


async def test_everything_that_is_sent_counts(gateway: Gateway) -> None:
    """A refused cart, a bad token and a replay cost what a checkout costs: each of them makes us or Stripe work."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = [
            await post(http, INITIATE, checkout_json(items=[]), Idempotency_Key=KEY),
            await post(http, INITIATE, checkout_json(), Authorization="Bearer nonsense"),
            await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY),
            await post(http, INITIATE, checkout_json(), Idempotency_Key=KEY),
        ]

    assert statuses(answers) == [422, 401, 200, 429]


async def test_an_honest_buyer_who_waits_gets_the_same_checkout(gateway: Gateway) -> None:
    """After the wait a retry with the same key is answered what the first was."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        first, *_, refused = await begin(http, 4, Idempotency_Key=KEY)
        gateway.clock.advance(int(refused.headers["Retry-After"]))
        [retried] = await begin(http, 1, Idempotency_Key=KEY)

    assert (refused.status, retried.status, retried.text) == (429, 200, first.text)


async def test_p6_x_forwarded_for_is_not_believed_from_anyone(gateway: Gateway) -> None:
    """Without trusted proxies an invented address for each request changes nothing; nor does Forwarded."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = [
            (
                await begin(
                    http,
                    1,
                    X_Forwarded_For=f"203.0.113.{number}",
                    Forwarded=f"for=203.0.113.{number}",
                    X_Real_IP="1.1.1.1",
                )
            )[0]
            for number in range(4)
        ]

    assert statuses(answers) == [200, 200, 200, 429]


async def test_behind_a_trusted_proxy_each_client_is_counted(gateway: Gateway) -> None:
    """By the address that the proxy appended, whatever the client had written before it."""
    async with served(Edge(gateway, limits=BEHIND_A_PROXY)) as http:
        one = [(await begin(http, 1, X_Forwarded_For=f"9.9.9.{number}, 203.0.113.1"))[0] for number in range(4)]
        other = await begin(http, 1, X_Forwarded_For="203.0.113.2")

    assert statuses([*one, *other]) == [200, 200, 200, 429, 200]


async def test_questions_about_checkouts_are_limited_by_address(gateway: Gateway) -> None:
    """Status and completion share one limit, since each asks Stripe; the rest is served on."""
    theirs = gateway.stored_attempt()
    body = {"checkoutAttemptId": theirs.attempt_id, "paymentIntentId": theirs.intent.id}
    async with served(Edge(gateway, limits=LOOKUPS)) as http:
        answers = [
            await get(http, f"/api/checkout/{theirs.attempt_id}"),
            await post(http, "/api/orders", body),
            await get(http, f"/api/checkout/{theirs.attempt_id}"),
            await post(http, "/api/orders", body),
            await get(http, f"/api/checkout/{theirs.attempt_id}"),
            await get(http, "/api/catalog"),
            await get(http, "/api/orders", Authorization=token_for("user_ada")),
            *await begin(http, 1),
        ]

    assert statuses(answers) == [200, 409, 200, 429, 429, 200, 200, 200]


async def test_webhooks_are_never_limited(gateway: Gateway) -> None:
    """Stripe delivers from few addresses, and what it says must be heard."""
    theirs = gateway.stored_attempt()
    paid = gateway.intents.pay(theirs.intent)
    limits = Limits(initiate_by_address=SLOW, initiate_by_user=SLOW, lookup_by_address=SLOW)
    async with served(Edge(gateway, limits=limits)) as http:
        answers = [await deliver(http, gateway, event_body(paid)) for _ in range(20)]

    assert set(statuses(answers)) == {200}


async def test_at_once_is_no_way_around(gateway: Gateway) -> None:
    """Fifty requests in the same moment: the burst is granted, and no more."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = await asyncio.gather(*(post(http, INITIATE, checkout_json()) for _ in range(50)))

    assert sorted(statuses(answers)) == [200] * 3 + [429] * 47


async def test_a_preflight_does_not_count(gateway: Gateway) -> None:
    """The browser sends it without being told to."""
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        for _ in range(5):
            await ask(http, "OPTIONS", INITIATE, headers=headers)
        answers = await begin(http, 3)

    assert statuses(answers) == [200] * 3


async def test_p7_refusals_are_counted_by_limit_and_addresses_are_logged_nowhere(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Metrics name the limit; neither they nor the log nor the answer name the client or the user."""
    limits = replace(BEHIND_A_PROXY, initiate_by_user=SLOW)
    with caplog.at_level("DEBUG"):
        async with served(Edge(gateway, limits=limits)) as http:
            answers = await begin(http, 5, X_Forwarded_For="203.0.113.77", Authorization=token_for("user_canary"))
            users = [
                (await begin(http, 1, X_Forwarded_For=f"198.51.100.{n}", Authorization=token_for("user_canary")))[0]
                for n in range(4)
            ]
            metrics = (await get(http, "/metrics")).text

    told = "\n".join([metrics, *(answer.text for answer in [*answers, *users])])
    assert statuses(answers)[-1] == statuses(users)[-1] == 429
    for limit in ("initiate_by_address", "initiate_by_user"):
        assert re.search(rf'^holdfast_requests_rate_limited_total{{limit="{limit}"}} [1-9]', metrics, re.MULTILINE)
    for canary in ("203.0.113.77", "198.51.100.", "user_canary"):
        assert canary not in told
        assert canary not in caplog.text
