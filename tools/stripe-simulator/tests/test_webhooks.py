import asyncio
import json
from typing import Any

import pytest
import stripe
from stripe import SignatureVerificationError, Webhook, WebhookSignature

from stripe_simulator.testing import Receiver, SimulatedStripe

INTENT_EVENTS = ("payment_intent.created", "payment_intent.succeeded", "payment_intent.payment_failed")


async def attempts(sim: SimulatedStripe, **filters: str) -> list[dict[str, Any]]:
    """Answer the delivery attempts that were made."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    found: list[dict[str, Any]] = (await sim.control("GET", f"/webhooks/attempts?{query}"))["data"]
    return found


async def rule(sim: SimulatedStripe, **given: Any) -> Any:
    """Set a webhook rule."""
    return await sim.control("POST", "/webhooks/rules", given)


async def test_webhooks_are_signed_as_stripe_signs_them(sim: SimulatedStripe, receiver: Receiver) -> None:
    """The library accepts the signature with the endpoint's secret and refuses it with any other."""
    endpoint = await sim.subscribe(receiver, "payment_intent.created")
    intent = await sim.intent()
    await sim.settled()
    (received,) = receiver.received
    header = received.headers["Stripe-Signature"]

    event = Webhook.construct_event(received.body, header, endpoint.secret)

    assert (event.type, event.data.object["id"]) == ("payment_intent.created", intent.id)
    with pytest.raises(SignatureVerificationError):
        WebhookSignature.verify_header(received.body, header, "whsec_other", 300)
    with pytest.raises(SignatureVerificationError):
        WebhookSignature.verify_header(json.dumps(received.event), header, endpoint.secret, 300)


async def test_an_event_is_a_snapshot_with_its_cause(sim: SimulatedStripe, receiver: Receiver) -> None:
    """An event names API version, request and key, and shows the object as it was at that moment."""
    await sim.subscribe(receiver, "payment_intent.created")
    params: Any = {"amount": 1999, "currency": "usd"}
    intent = await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": "a-key"})
    await sim.pay(intent.id)
    await sim.settled()

    event = receiver.received[0].event

    headers: Any = intent.last_response.headers if intent.last_response else {}
    assert (event["object"], event["livemode"], event["api_version"]) == ("event", False, "2026-10-28.endive")
    assert event["request"] == {"id": headers["Request-Id"], "idempotency_key": "a-key"}
    assert event["data"]["object"]["status"] == "requires_payment_method"
    assert event["pending_webhooks"] == 1


async def test_the_event_can_be_fetched(sim: SimulatedStripe, receiver: Receiver) -> None:
    """What was delivered is what the API tells about the event."""
    await sim.subscribe(receiver, "payment_intent.created")
    await sim.intent()
    await sim.settled()
    delivered = receiver.received[0].event

    fetched = await sim.api.v1.events.retrieve_async(delivered["id"])

    assert fetched.to_dict()["data"] == delivered["data"]


async def test_endpoints_get_what_they_asked_for(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Only enabled events are delivered, and nothing to a disabled or deleted endpoint."""
    endpoint = await sim.subscribe(receiver, "payment_intent.succeeded")
    first, second, third = await sim.intent(), await sim.intent(), await sim.intent()
    await sim.pay(first.id)
    await sim.settled()
    await sim.api.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})
    await sim.pay(second.id)
    await sim.api.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": False})
    await sim.api.v1.webhook_endpoints.delete_async(endpoint.id)
    await sim.pay(third.id)
    await sim.settled()

    assert [each.event["data"]["object"]["id"] for each in receiver.received] == [first.id]


async def test_the_secret_is_shown_once(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Only the answer of the create call has the secret."""
    created = await sim.subscribe(receiver, *INTENT_EVENTS)

    listed = await sim.api.v1.webhook_endpoints.list_async()
    retrieved = await sim.api.v1.webhook_endpoints.retrieve_async(created.id)
    updated = await sim.api.v1.webhook_endpoints.update_async(created.id, {"description": "x"})

    assert (created.secret or "").startswith("whsec_")
    assert not any("secret" in each.to_dict() for each in (*listed.data, retrieved, updated))


async def test_a_rolled_secret_signs_beside_the_old_one(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Until the old secret expires there are two signatures; afterwards only the new one."""
    endpoint = await sim.subscribe(receiver, "payment_intent.created")
    rolled = await sim.control("POST", f"/webhook_endpoints/{endpoint.id}/roll_secret", {"expires_in_seconds": 3600})
    await sim.intent()
    await sim.settled()
    await sim.control("POST", "/clock/advance", {"seconds": 3600})
    await sim.intent()
    await sim.settled()
    both, one = receiver.received

    for secret in (endpoint.secret, rolled["secret"]):
        assert WebhookSignature.verify_header(both.body, both.headers["Stripe-Signature"], secret, 300)

    assert both.headers["Stripe-Signature"].count("v1=") == 2
    assert one.headers["Stripe-Signature"].count("v1=") == 1
    assert WebhookSignature.verify_header(one.body, one.headers["Stripe-Signature"], rolled["secret"], 300)


@pytest.mark.parametrize("statuses", [[500, 503], [400], [302], [404, 429]])
async def test_deliveries_are_retried_until_2xx(sim: SimulatedStripe, receiver: Receiver, statuses: list[int]) -> None:
    """Whatever is not a 2xx is tried again, each time with the same body; every try is on record."""
    await sim.subscribe(receiver, "payment_intent.created")
    receiver.statuses = list(statuses)
    await sim.intent()
    await sim.settled()

    tries = await attempts(sim)

    assert [each["status"] for each in tries] == [*statuses, 200]
    assert [each["number"] for each in tries] == list(range(1, len(statuses) + 2))
    assert len({each.body for each in receiver.received}) == 1


async def test_retries_end(sim: SimulatedStripe, receiver: Receiver) -> None:
    """An endpoint that always fails is given up after the bounded number of tries."""
    await sim.subscribe(receiver, "payment_intent.created")
    receiver.statuses = [500] * 100
    await sim.intent()
    await sim.settled()

    state = await sim.control("GET", "/state")

    assert len(receiver.received) == sim.simulator.settings.webhooks.max_attempts
    assert state["deliveries"]["failed"] == 1


async def test_an_endpoint_that_is_not_there_is_tried_again(sim: SimulatedStripe) -> None:
    """Without an answer the attempt records the kind of failure instead of a status."""
    nowhere = Receiver("http://127.0.0.1:1/webhook")
    await sim.subscribe(nowhere, "payment_intent.created")
    await sim.intent()
    await sim.settled()

    tries = await attempts(sim)

    assert [each["status"] for each in tries] == [None] * sim.simulator.settings.webhooks.max_attempts
    assert tries[0]["error"] == "ClientConnectorError"


async def test_deliver_twice_with_overlap(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Copies of an event are under way at the same time, and the record proves it."""
    await sim.subscribe(receiver, "payment_intent.succeeded")
    await rule(sim, types=["payment_intent.succeeded"], copies=2)
    receiver.pause_seconds = 0.05
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.settled()

    first, second = await attempts(sim)

    assert first["event_id"] == second["event_id"]
    assert {first["copy"], second["copy"]} == {0, 1}
    assert max(first["started_monotonic"], second["started_monotonic"]) < min(
        first["finished_monotonic"], second["finished_monotonic"]
    )


async def test_deliver_late(sim: SimulatedStripe, receiver: Receiver) -> None:
    """A delayed delivery starts no earlier than asked, while others are made at once."""
    await sim.subscribe(receiver, *INTENT_EVENTS)
    await rule(sim, types=["payment_intent.created"], delay_seconds=2)
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.settled()

    tries = {each["event_type"]: each for each in await attempts(sim)}

    gap = tries["payment_intent.created"]["started_at"] - tries["payment_intent.succeeded"]["started_at"]
    assert receiver.types() == ["payment_intent.succeeded", "payment_intent.created"]
    assert gap > 0.1


async def test_hold_until_released(sim: SimulatedStripe, receiver: Receiver) -> None:
    """A held delivery waits, does not keep the simulator from being idle, and goes out when released."""
    await sim.subscribe(receiver, *INTENT_EVENTS)
    await rule(sim, types=["payment_intent.succeeded"], hold=True)
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.settled()
    before = receiver.types()

    released = await sim.control("POST", "/webhooks/release", {"event_type": "payment_intent.succeeded"})
    await sim.settled()

    assert before == ["payment_intent.created"]
    assert [each["event_type"] for each in released["data"]] == ["payment_intent.succeeded"]
    assert receiver.types() == ["payment_intent.created", "payment_intent.succeeded"]


async def test_deliver_out_of_order(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Three events arrive in the reverse of the order in which they happened."""
    await sim.subscribe(receiver, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded")
    await rule(sim, types=["*"], reverse=3)
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.settled()

    assert receiver.types() == ["payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]


async def test_deliver_never(sim: SimulatedStripe, receiver: Receiver) -> None:
    """A dropped event is not delivered but can be listed, and delivered by hand."""
    await sim.subscribe(receiver, "payment_intent.succeeded")
    await rule(sim, types=["payment_intent.succeeded"], drop=True, count=1)
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.settled()
    before = receiver.types()
    event = (await sim.api.v1.events.list_async({"type": "payment_intent.succeeded"})).data[0]

    await sim.control("POST", "/webhooks/redeliver", {"event_id": event.id})
    await sim.settled()

    assert before == []
    assert [each.event["id"] for each in receiver.received] == [event.id]


async def test_an_event_that_is_never_generated(sim: SimulatedStripe, receiver: Receiver) -> None:
    """A silenced event is in no list either; only the intent tells."""
    await sim.subscribe(receiver, "payment_intent.succeeded")
    await rule(sim, types=["payment_intent.succeeded"], silence=True)
    intent = await sim.intent()
    paid = await sim.pay(intent.id)
    await sim.settled()

    assert paid["status"] == "succeeded"
    assert receiver.received == []
    assert await sim.event_types() == ["payment_intent.created", "charge.succeeded"]


async def test_rules_are_counted_and_removed(sim: SimulatedStripe, receiver: Receiver) -> None:
    """A rule holds for as many events as it says, or until it is taken away; it can be about one object."""
    await sim.subscribe(receiver, "payment_intent.succeeded")
    first, second, third = await sim.intent(), await sim.intent(), await sim.intent()
    about_one = await rule(sim, object_id=first.id, drop=True)
    await rule(sim, types=["payment_intent.succeeded"], drop=True, count=1)
    for intent in (first, second, third):
        await sim.pay(intent.id)
    await sim.settled()
    shown = (await sim.control("GET", "/webhooks/rules"))["data"]

    await sim.control("DELETE", f"/webhooks/rules/{about_one['id']}")

    assert [each.event["data"]["object"]["id"] for each in receiver.received] == [third.id]
    assert [each["applied"] for each in shown] == [1, 1]
    assert len((await sim.control("GET", "/webhooks/rules"))["data"]) == 1


async def test_waiting_for_idle_has_a_deadline(sim: SimulatedStripe, receiver: Receiver) -> None:
    """While something is on its way the wait ends with 504."""
    await sim.subscribe(receiver, "payment_intent.created")
    await rule(sim, delay_seconds=30)
    await sim.intent()

    answer = await sim.control("GET", "/webhooks/idle?timeout=0.05", status=504)

    assert (answer["idle"], answer["deliveries"]["pending"]) == (False, 1)


async def test_deliveries_are_bounded_in_number(sim: SimulatedStripe, receiver: Receiver) -> None:
    """No more deliveries run at the same time than the setting allows, and all arrive."""
    await sim.subscribe(receiver, "payment_intent.created")
    receiver.pause_seconds = 0.05
    limit = sim.simulator.settings.webhooks.concurrency
    await asyncio.gather(*(sim.intent() for _ in range(limit + 10)))
    await sim.settled()

    tries = await attempts(sim)

    moments = [(each["started_monotonic"], 1) for each in tries] + [(each["finished_monotonic"], -1) for each in tries]
    running = highest = 0
    for _, step in sorted(moments):
        running += step
        highest = max(highest, running)
    assert len(receiver.received) == limit + 10
    assert highest <= limit


@pytest.mark.parametrize(
    "params",
    [
        {"url": "ftp://shop.example", "enabled_events": ["*"]},
        {"url": "https://shop.example", "enabled_events": ["payment_intent.vanished"]},
        {"url": "https://shop.example", "enabled_events": ["*", "charge.succeeded"]},
        {"url": "https://shop.example"},
    ],
)
async def test_endpoints_that_make_no_sense_are_refused(sim: SimulatedStripe, params: Any) -> None:
    """Addresses that are none, unknown events, and no events."""
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.webhook_endpoints.create_async(params)


async def test_the_record_names_its_deliveries(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Deliveries and attempts can be filtered by event, endpoint and object."""
    endpoint = await sim.subscribe(receiver, "payment_intent.created")
    intent, _ = await sim.intent(), await sim.intent()
    await sim.settled()

    of_intent = await attempts(sim, object_id=intent.id)
    of_endpoint = await sim.control("GET", f"/webhooks/deliveries?endpoint_id={endpoint.id}&state=delivered")

    assert [each["object_id"] for each in of_intent] == [intent.id]
    assert len(of_endpoint["data"]) == 2
