"""News of refunds and disputes, told to the real edge by signed webhooks and looked up at the simulator."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from payments_gateway.api.views import order_body
from payments_gateway.domain.attempts import Contact
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Order, OrderStatus
from payments_gateway.domain.refunds import DisputeStatus, RefundStatus
from payments_gateway.refunds.mirror import ChargeRefunds, StripeMirror
from payments_gateway.stripe_api.refunds import StripeDisputes, StripeRefunds
from servicekit.grpc_client import ServiceUnavailable
from stripe_simulator.testing import SETTINGS, SimulatedStripe, simulated_stripe

from .assembly import Gateway
from .http_edge import Answer, Edge, deliver, served
from .samples import ATTEMPT_ID
from .stripe_stand_in import roomy_limiter, stripe_client, stripe_stand_in

OURS = {"metadata": {"checkoutAttemptId": ATTEMPT_ID}, "amount": 2000}
DEBIT = {"payment_method": "pm_usBankAccount", "settle": "paid"}
SUBJECTS = ("refund", "charge.refund", "charge.dispute")


@dataclass(frozen=True)
class Shop:
    """A gateway, and Stripe as its simulator plays it."""

    stripe: SimulatedStripe
    gateway: Gateway
    http: aiohttp.ClientSession

    async def paid(self, payment: dict[str, Any] | None = None, **changes: Any) -> str:
        """Have an intent paid; return its id."""
        intent = await self.stripe.intent(automatic_payment_methods={"enabled": True}, **{**OURS, **changes})
        await self.stripe.pay(intent.id, **(payment or {}))
        return intent.id

    async def refund(self, intent_id: str, amount: int = 500) -> str:
        """Refund a part of an intent; return the refund's id."""
        return (await self.stripe.api.v1.refunds.create_async({"payment_intent": intent_id, "amount": amount})).id

    async def finish(self, refund_id: str, status: str) -> None:
        """Let a refund come to its end."""
        await self.stripe.control("POST", f"/refunds/{refund_id}/finish", {"status": status})

    async def dispute(self, intent_id: str, status: str = "needs_response") -> str:
        """Let the buyer's bank dispute an intent's charge; return the dispute's id."""
        body = {"amount": 700, "status": status}
        return str((await self.stripe.control("POST", f"/payment_intents/{intent_id}/dispute", body))["id"])

    async def move(self, dispute_id: str, status: str) -> None:
        """Move a dispute on, or decide it."""
        await self.stripe.control("POST", f"/disputes/{dispute_id}/move", {"status": status})

    async def events(self) -> list[bytes]:
        """Return the bodies of all events of refunds and disputes so far, in the order in which they happened."""
        listed = await self.stripe.api.v1.events.list_async({"limit": 100})
        bodies = [json.dumps(event.to_dict()).encode() for event in reversed(listed.data)]
        return [body for body in bodies if json.loads(body)["type"].startswith(SUBJECTS)]

    async def tell(self, body: bytes) -> Answer:
        """Deliver an event."""
        return await deliver(self.http, self.gateway, body)

    def refunds(self) -> dict[int, RefundStatus]:
        """Show the copies of refunds: their statuses, by amount."""
        return {refund.amount.minor_units: refund.status for refund in self.gateway.refund_copies.kept.values()}

    def disputes(self) -> list[DisputeStatus]:
        """Show the copies of disputes: their statuses."""
        return [dispute.status for dispute in self.gateway.dispute_copies.kept.values()]


@pytest.fixture
async def shop(gateway: Gateway) -> AsyncIterator[Shop]:
    """Open a shop whose gateway looks refunds and disputes up at a simulator."""
    async with simulated_stripe(replace(SETTINGS, secret_key="sk_test_1")) as stripe:
        client = stripe_client(stripe.simulator.url, stripe.session, roomy_limiter())
        refunds = StripeMirror("refund", StripeRefunds(client), gateway.refund_copies, livemode=False)
        gateway.dispatcher = replace(
            gateway.dispatcher,
            refunds=refunds,
            charge_refunds=ChargeRefunds(refunds, StripeRefunds(client)),
            disputes=StripeMirror("dispute", StripeDisputes(client), gateway.dispute_copies, livemode=False),
        )
        async with served(Edge(gateway)) as http:
            yield Shop(stripe, gateway, http)


Deeds = Callable[[Shop], Awaitable[object]]


async def refunded_in_parts(shop: Shop) -> None:
    """Give it back in two parts."""
    intent_id = await shop.paid()
    await shop.refund(intent_id, 300)
    await shop.refund(intent_id, 200)


async def refunded_in_vain(shop: Shop) -> None:
    """Give it back; the buyer's bank sends it back later."""
    await shop.finish(await shop.refund(await shop.paid()), "failed")


async def about_to_be_refunded(shop: Shop) -> None:
    """Give a debit back, which takes days."""
    await shop.refund(await shop.paid(DEBIT))


async def refunded_in_the_end(shop: Shop) -> None:
    """Give a debit back, which arrives."""
    await shop.finish(await shop.refund(await shop.paid(DEBIT)), "succeeded")


async def refund_called_off(shop: Shop) -> None:
    """Give a debit back, and think better of it."""
    refund_id = await shop.refund(await shop.paid(DEBIT))
    await shop.stripe.api.v1.refunds.cancel_async(refund_id)


REFUNDED: list[tuple[Deeds, dict[int, RefundStatus]]] = [
    (refunded_in_parts, {300: RefundStatus.SUCCEEDED, 200: RefundStatus.SUCCEEDED}),
    (refunded_in_vain, {500: RefundStatus.FAILED}),
    (about_to_be_refunded, {500: RefundStatus.PENDING}),
    (refunded_in_the_end, {500: RefundStatus.SUCCEEDED}),
    (refund_called_off, {500: RefundStatus.CANCELED}),
]


async def disputed(shop: Shop) -> None:
    """Dispute it."""
    await shop.dispute(await shop.paid())


async def dispute_won(shop: Shop) -> None:
    """Dispute it in vain: the money comes back."""
    dispute_id = await shop.dispute(await shop.paid())
    await shop.move(dispute_id, "under_review")
    await shop.move(dispute_id, "won")


async def dispute_lost(shop: Shop) -> None:
    """Dispute it with success."""
    await shop.move(await shop.dispute(await shop.paid()), "lost")


async def inquiry_closed(shop: Shop) -> None:
    """Ask about it, and be content with the answer."""
    await shop.move(await shop.dispute(await shop.paid(), "warning_needs_response"), "warning_closed")


async def inquiry_escalated(shop: Shop) -> None:
    """Ask about it, and then dispute it."""
    await shop.move(await shop.dispute(await shop.paid(), "warning_needs_response"), "needs_response")


DISPUTED: list[tuple[Deeds, DisputeStatus]] = [
    (disputed, DisputeStatus.NEEDS_RESPONSE),
    (dispute_won, DisputeStatus.WON),
    (dispute_lost, DisputeStatus.LOST),
    (inquiry_closed, DisputeStatus.WARNING_CLOSED),
    (inquiry_escalated, DisputeStatus.NEEDS_RESPONSE),
]

Arrival = Callable[[list[bytes]], list[bytes]]

ARRIVALS: dict[str, Arrival] = {
    "in order": lambda bodies: bodies,
    "backwards": lambda bodies: bodies[::-1],
    "only the first": lambda bodies: bodies[:1],
    "only the last": lambda bodies: bodies[-1:],
    "twice": lambda bodies: [*bodies, *bodies],
}


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize(("deeds", "expected"), REFUNDED, ids=lambda value: getattr(value, "__name__", ""))
async def test_refunds_end_as_at_stripe_in_whatever_order_the_news_comes(
    shop: Shop, deeds: Deeds, expected: dict[int, RefundStatus], arrival: str
) -> None:
    """Each event is only a hint: what Stripe shows now is what is kept."""
    await deeds(shop)
    news = ARRIVALS[arrival](await shop.events())

    answers = [await shop.tell(body) for body in news]

    told = {amount: expected[amount] for amount in shop.refunds()}
    assert {answer.status for answer in answers} == {200}
    assert shop.refunds() == (told if arrival == "only the first" else expected)
    assert told


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize(("deeds", "expected"), DISPUTED, ids=lambda value: getattr(value, "__name__", ""))
async def test_disputes_end_as_at_stripe_in_whatever_order_the_news_comes(
    shop: Shop, deeds: Deeds, expected: DisputeStatus, arrival: str
) -> None:
    """Opened, decided, reversed, or never more than an inquiry."""
    await deeds(shop)
    news = ARRIVALS[arrival](await shop.events())

    answers = [await shop.tell(body) for body in news]

    assert {answer.status for answer in answers} == {200}
    assert shop.disputes() == [expected]


async def test_a_copy_has_all_that_orders_keeps(shop: Shop) -> None:
    """Ids, sum, moment, the bank's reason, and the intent that it is tied to."""
    intent_id = await shop.paid()
    dispute_id = await shop.dispute(intent_id)
    refund_id = await shop.refund(intent_id)

    for body in await shop.events():
        await shop.tell(body)

    refund, dispute = shop.gateway.refund_copies.kept[refund_id], shop.gateway.dispute_copies.kept[dispute_id]
    intent = await shop.stripe.api.v1.payment_intents.retrieve_async(intent_id)
    assert (refund.charge_id, refund.amount) == (intent.latest_charge, Money(500, "usd"))
    assert (dispute.charge_id, dispute.amount) == (intent.latest_charge, Money(700, "usd"))
    assert dispute.reason == "fraudulent"
    assert shop.gateway.refund_copies.intents == {refund_id: intent_id}
    assert shop.gateway.dispute_copies.intents == {dispute_id: intent_id}


async def of_type(shop: Shop, event_type: str) -> bytes:
    """Return the newest event of a type."""
    return next(body for body in reversed(await shop.events()) if json.loads(body)["type"] == event_type)


async def test_a_refunded_charge_brings_every_page_of_its_refunds(shop: Shop) -> None:
    """More than one page of them; its event does not say which is new."""
    intent_id = await shop.paid()
    ids = [await shop.refund(intent_id, 1) for _ in range(102)]

    answer = await shop.tell(await of_type(shop, "charge.refunded"))

    assert answer.status == 200
    assert set(shop.gateway.refund_copies.kept) == set(ids)


@pytest.mark.parametrize("metadata", [{}, {"order": "17"}, {"checkoutAttemptId": "of-other-software"}])
async def test_refunds_and_disputes_of_foreign_intents_are_left_alone(shop: Shop, metadata: dict[str, str]) -> None:
    """Acknowledged, and nothing is kept: subscriptions' invoices and other software make intents too."""
    intent_id = await shop.paid(metadata=metadata)
    await shop.refund(intent_id)
    await shop.dispute(intent_id)

    answers = [await shop.tell(body) for body in await shop.events()]

    assert {answer.status for answer in answers} == {200}
    assert (shop.refunds(), shop.disputes()) == ({}, [])


async def test_refunds_of_the_other_mode_are_left_alone(shop: Shop) -> None:
    """A key of live mode keeps nothing of test mode."""
    client = stripe_client(shop.stripe.simulator.url, shop.stripe.session, roomy_limiter())
    live = StripeMirror("refund", StripeRefunds(client), shop.gateway.refund_copies, livemode=True)
    shop.gateway.dispatcher = replace(shop.gateway.dispatcher, refunds=live)
    await shop.refund(await shop.paid())

    async with served(Edge(shop.gateway)) as http:
        answer = await deliver(http, shop.gateway, (await shop.events())[0])

    assert (answer.status, shop.refunds()) == (200, {})


async def test_events_of_connected_accounts_are_left_alone(shop: Shop) -> None:
    """Stripe is not even asked: with our key it would not know them."""
    await shop.refund(await shop.paid())
    event = json.loads((await shop.events())[0])

    answer = await shop.tell(json.dumps({**event, "account": "acct_other"}).encode())

    assert (answer.status, shop.refunds()) == (200, {})
    assert shop.gateway.wire.calls == []


@pytest.mark.parametrize("kind", ["refund.updated", "charge.refunded", "charge.dispute.closed"])
async def test_what_stripe_does_not_know_any_more_is_acknowledged(shop: Shop, kind: str) -> None:
    """Delivering it again would not bring it back."""
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": {"id": "xx_gone"}}}

    answer = await shop.tell(json.dumps(event).encode())

    assert answer.status == 200
    assert (shop.refunds(), shop.disputes()) == ({}, [])


async def test_a_slow_look_at_an_old_state_does_not_replace_a_newer_one(shop: Shop) -> None:
    """Two deliveries at once, to two gateways: the one whose answer was overtaken looks again."""
    refund_id = await shop.refund(await shop.paid())
    hold = {"kind": "hold_after", "method": "GET", "path": f"/v1/refunds/{refund_id}"}
    fault = (await shop.stripe.control("POST", "/faults", hold))["id"]
    slow = asyncio.create_task(shop.tell(await of_type(shop, "refund.created")))
    await shop.stripe.control("GET", f"/faults/{fault}/wait?holding=1&timeout=20")
    await shop.finish(refund_id, "failed")
    client = stripe_client(shop.stripe.simulator.url, shop.stripe.session, roomy_limiter())
    elsewhere = StripeMirror("refund", StripeRefunds(client), shop.gateway.refund_copies, livemode=False)
    await elsewhere.sync(refund_id)

    await shop.stripe.control("POST", f"/faults/{fault}/release")

    assert (await slow).status == 200
    assert shop.refunds() == {500: RefundStatus.FAILED}


async def test_a_look_that_changes_nothing_still_moves_the_version(shop: Shop) -> None:
    """Else a slower one that saw something older in between could write it afterwards."""
    refund_id = await shop.refund(await shop.paid())
    news = await of_type(shop, "refund.created")
    await shop.tell(news)
    before = await shop.gateway.refund_copies.version_of(refund_id)

    await shop.tell(news)

    assert await shop.gateway.refund_copies.version_of(refund_id) == before + 1


async def test_stripe_is_asked_to_deliver_again_when_others_are_always_faster(shop: Shop) -> None:
    """So many rounds and no more: the delivery must not go on for ever."""
    await shop.refund(await shop.paid())
    wire = shop.gateway.wire
    wire.fail("refund_copies.write", VersionConflict())

    answer = await shop.tell((await shop.events())[0])

    assert (answer.status, answer.kind) == (503, "temporarily_unavailable")
    assert wire.calls == ["refund_copies.version_of", "refund_copies.write"] * 10


@pytest.mark.parametrize("call", ["refund_copies.version_of", "refund_copies.write"])
async def test_stripe_is_asked_to_deliver_again_while_orders_is_away(shop: Shop, call: str) -> None:
    """503 until it is back, then 200."""
    await shop.refund(await shop.paid())
    news = (await shop.events())[0]
    shop.gateway.wire.fail(call, ServiceUnavailable("orders"))

    away = await shop.tell(news)
    shop.gateway.wire.heal()
    back = await shop.tell(news)

    assert [away.status, back.status] == [503, 200]
    assert shop.refunds() == {500: RefundStatus.SUCCEEDED}


@pytest.mark.parametrize("kind", ["error_unsaved", "rate_limit", "unauthorized", "foreign_json_after"])
async def test_stripe_is_asked_to_deliver_again_while_it_does_not_answer(shop: Shop, kind: str) -> None:
    """503 until it answers, then 200."""
    await shop.refund(await shop.paid())
    news = (await shop.events())[0]
    await shop.stripe.control("POST", "/faults", {"kind": kind, "method": "GET", "path": "/v1/refunds/*"})

    away = await shop.tell(news)
    back = await shop.tell(news)

    assert [away.status, back.status] == [503, 200]
    assert shop.refunds() == {500: RefundStatus.SUCCEEDED}


UNLISTED = [
    pytest.param(404, {"error": {"code": "resource_missing", "message": "No such charge"}}, "WARNING", id="gone"),
    pytest.param(200, {"object": "list", "url": "/v1/refunds", "data": [{}], "has_more": False}, "ERROR", id="unread"),
]
"""What Stripe answers when asked for the refunds of a charge, and how the operator is told."""


async def test_what_cannot_be_kept_is_told_to_the_operator(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Acknowledged: an endpoint that fails for days is switched off, and payments with it."""
    refund_id = await shop.refund(await shop.paid())
    shop.gateway.refund_copies.refused.add(refund_id)

    answer = await shop.tell((await shop.events())[0])

    told = [record.__dict__["stripe_id"] for record in caplog.records if record.levelname == "ERROR"]
    assert (answer.status, told) == (200, [refund_id])


@pytest.mark.parametrize(("status", "body", "level"), UNLISTED)
async def test_a_charge_whose_refunds_cannot_be_listed_is_told_to_the_operator(
    shop: Shop, caplog: pytest.LogCaptureFixture, status: int, body: dict[str, Any], level: str
) -> None:
    """Acknowledged, for the same reason: Stripe would answer the same for days."""
    async with stripe_stand_in() as stand_in:
        stand_in.answer(body, status=status)
        refunds = StripeRefunds(stand_in.client)
        copying = StripeMirror("refund", refunds, shop.gateway.refund_copies, livemode=False)
        shop.gateway.dispatcher = replace(shop.gateway.dispatcher, charge_refunds=ChargeRefunds(copying, refunds))
        event = {"id": "evt_1", "object": "event", "type": "charge.refunded", "data": {"object": {"id": "ch_1"}}}
        async with served(Edge(shop.gateway)) as http:
            answer = await deliver(http, shop.gateway, json.dumps(event).encode())

    told = [record.levelname for record in caplog.records if record.__dict__.get("stripe_id") == "ch_1"]
    assert (answer.status, told) == (200, [level])


async def test_no_news_moves_money(shop: Shop) -> None:
    """Whatever is told, the gateway only reads at Stripe."""
    await refunded_in_vain(shop)
    await dispute_lost(shop)
    mark = len((await shop.stripe.control("GET", "/requests"))["data"])

    for body in await shop.events():
        await shop.tell(body)

    requests = (await shop.stripe.control("GET", "/requests"))["data"][mark:]
    assert {request["method"] for request in requests} == {"GET"}


def test_an_order_tells_its_buyer_what_was_taken_back() -> None:
    """In minor units; null where nothing was."""
    order = Order(
        id="00000000-0000-4000-8000-000000000001",
        number="H-0001",
        checkout_attempt_id=ATTEMPT_ID,
        user_id="user-1",
        status=OrderStatus.PAID,
        total=Money(2000, "usd"),
        contact=Contact("Ada", "ada@example.com", None),
        shipping_address=None,
        shipping_option=None,
        items=(),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
    )

    untouched = order_body(order).model_dump(by_alias=True)
    taken_back = order_body(replace(order, refunded=Money(500, "usd"), disputed=Money(700, "usd")))

    assert (untouched["refundedAmount"], untouched["disputedAmount"]) == (None, None)
    assert (taken_back.refunded_amount, taken_back.disputed_amount) == (500, 700)
