"""Rate limits at the HTTP edge."""

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
from ..samples import ATTEMPT_ID, FOREIGN_ATTEMPT_ID, checkout_json

KEY: Final = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BY_ADDRESS: Final = Limits(initiate_by_address=SLOW)
PROXIES: Final = (ip_network("127.0.0.0/8"),)
BEHIND_A_PROXY: Final = replace(BY_ADDRESS, trusted_proxies=PROXIES)


async def begin(http: aiohttp.ClientSession, times: int = 1, **headers: str) -> list[Answer]:
    """Begin checkouts, one after the other."""
    return [await post(http, INITIATE, checkout_json(), **headers) for _ in range(times)]


async def begin_from(http: aiohttp.ClientSession, *addresses: str, **headers: str) -> list[Answer]:
    """Begin a checkout from each address, as X-Forwarded-For names it."""
    return [await post(http, INITIATE, checkout_json(), X_Forwarded_For=each, **headers) for each in addresses]


def statuses(answers: list[Answer]) -> list[int]:
    """Return the answers' statuses."""
    return [answer.status for answer in answers]


async def test_an_address_that_begins_too_many_checkouts_is_told_when_to_come_back(gateway: Gateway) -> None:
    """429 with a truthful Retry-After that a page may read; then a retry with the same key gets the same response."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        first, *_ = await begin(http, 3, Idempotency_Key=KEY)
        [refused] = await begin(http, Origin="https://shop.example")
        gateway.clock.advance(int(refused.headers["Retry-After"]) - 1)
        early = await begin(http)
        gateway.clock.advance(1)
        retried, late = await begin(http, 2, Idempotency_Key=KEY)

    assert statuses([first, refused, *early, retried, late]) == [200, 429, 429, 200, 429]
    assert (refused.kind, refused.headers["Retry-After"]) == ("rate_limited", "10")
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
    assert retried.text == first.text


async def test_at_once_is_no_way_around(gateway: Gateway) -> None:
    """Fifty requests in the same moment: the burst is granted, and no more."""
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = await asyncio.gather(*(post(http, INITIATE, checkout_json()) for _ in range(50)))

    assert sorted(statuses(answers)) == [200] * 3 + [429] * 47


async def test_a_user_is_limited_wherever_from(gateway: Gateway) -> None:
    """One account over many addresses is one user; another user and guests are not affected."""
    limits = Limits(initiate_by_user=SLOW, trusted_proxies=PROXIES)
    addresses = [f"203.0.113.{number}" for number in range(5)]
    async with served(Edge(gateway, limits=limits)) as http:
        ada = await begin_from(http, *addresses, Authorization=token_for("user_ada"))
        others = [*await begin(http, Authorization=token_for("user_bob")), *await begin(http, 5)]

    assert statuses(ada) == [200, 200, 200, 429, 429]
    assert statuses(others) == [200] * 6


async def test_every_request_of_an_address_counts(gateway: Gateway) -> None:
    """Invalid carts, invalid tokens and other users too, but no CORS preflight."""
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        for _ in range(5):
            await ask(http, "OPTIONS", INITIATE, headers=preflight)
        answers = [
            await post(http, INITIATE, checkout_json(items=[])),
            await post(http, INITIATE, checkout_json(), Authorization="Bearer nonsense"),
            *await begin(http, Authorization=token_for("user_ada")),
            *await begin(http, Authorization=token_for("user_bob")),
        ]

    assert statuses(answers) == [422, 401, 200, 429]


async def test_p6_x_forwarded_for_is_not_believed_from_anyone(gateway: Gateway) -> None:
    """Without trusted proxies an invented address for each request has no effect; nor has Forwarded."""
    headers = {"Forwarded": "for=203.0.113.9", "X_Real_IP": "1.1.1.1"}
    async with served(Edge(gateway, limits=BY_ADDRESS)) as http:
        answers = await begin_from(http, *[f"203.0.113.{number}" for number in range(4)], **headers)

    assert statuses(answers) == [200, 200, 200, 429]


async def test_behind_a_trusted_proxy_each_client_is_counted(gateway: Gateway) -> None:
    """By the address that the proxy appended."""
    async with served(Edge(gateway, limits=BEHIND_A_PROXY)) as http:
        one = await begin_from(http, *[f"9.9.9.{number}, 203.0.113.1" for number in range(4)])
        other = await begin_from(http, "203.0.113.2")

    assert statuses([*one, *other]) == [200, 200, 200, 429, 200]


async def test_requests_that_ask_stripe_are_limited_by_address(gateway: Gateway) -> None:
    """Status and completion share one limit; the rest is served."""
    theirs = gateway.stored_attempt()
    body = {"checkoutAttemptId": theirs.attempt_id, "paymentIntentId": theirs.intent.id}
    async with served(Edge(gateway, limits=Limits(lookup_by_address=SLOW))) as http:
        answers = [
            await get(http, f"/api/checkout/{theirs.attempt_id}"),
            await post(http, "/api/orders", body),
            await get(http, f"/api/checkout/{theirs.attempt_id}"),
            await post(http, "/api/orders", body),
            await get(http, f"/api/checkout/{theirs.attempt_id}"),
            await get(http, "/api/catalog"),
            await get(http, "/api/orders", Authorization=token_for("user_ada")),
            *await begin(http),
        ]

    assert statuses(answers) == [200, 409, 200, 429, 429, 200, 200, 200]


async def test_forged_ids_and_requests_over_a_limit_are_answered_after_a_pause(gateway: Gateway) -> None:
    """Forged ids count towards the limit. An id that is ours, known or not, is answered at once."""
    pauses: list[int] = []

    def pause_seconds() -> float:
        pauses.append(len(gateway.wire.calls))
        return 0.0

    edge = Edge(gateway, limits=Limits(lookup_by_address=SLOW), refusal_pause_seconds=pause_seconds)
    paths = [f"/api/checkout/{attempt_id}" for attempt_id in (ATTEMPT_ID, FOREIGN_ATTEMPT_ID, FOREIGN_ATTEMPT_ID)]
    async with served(edge) as http:
        answers = [await get(http, path) for path in [*paths, paths[0]]]

    assert statuses(answers) == [404, 404, 404, 429]
    assert pauses == [2, 2, 2]  # after the two calls for the id that is ours, and no further one


async def test_webhooks_are_never_limited(gateway: Gateway) -> None:
    """Stripe delivers from few addresses."""
    paid = gateway.paid_attempt()
    limits = Limits(initiate_by_address=SLOW, initiate_by_user=SLOW, lookup_by_address=SLOW)
    async with served(Edge(gateway, limits=limits)) as http:
        answers = [await deliver(http, gateway, event_body(paid)) for _ in range(20)]

    assert set(statuses(answers)) == {200}


async def test_p7_limited_requests_are_counted_and_no_address_is_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Metrics name the limit; neither they nor log nor responses name the client or the user."""
    limits = replace(BEHIND_A_PROXY, initiate_by_user=SLOW)
    with caplog.at_level("DEBUG"):
        async with served(Edge(gateway, limits=limits)) as http:
            answers = await begin(http, 5, X_Forwarded_For="203.0.113.77", Authorization=token_for("user_canary"))
            answers += await begin_from(
                http, *[f"198.51.100.{n}" for n in range(4)], Authorization=token_for("user_canary")
            )
            metrics = (await get(http, "/metrics")).text

    shown = "\n".join([metrics, caplog.text, *(answer.text for answer in answers)])
    assert statuses(answers)[4] == statuses(answers)[-1] == 429
    for limit in ("initiate_by_address", "initiate_by_user"):
        pattern = rf'^holdfast_requests_rate_limited_total{{limit="{limit}"}} [1-9]'
        assert re.search(pattern, metrics, re.MULTILINE)
    for canary in ("203.0.113.77", "198.51.100.", "user_canary"):
        assert canary not in shown
