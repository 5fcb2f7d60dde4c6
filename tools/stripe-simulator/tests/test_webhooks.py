import json
from typing import Any

import pytest
import stripe
from stripe import SignatureVerificationError, Webhook, WebhookSignature

from stripe_simulator.testing import Receiver, SimulatedStripe

INTENT_EVENTS = ("payment_intent.created", "payment_intent.succeeded", "payment_intent.payment_failed")


async def attempts(sim: SimulatedStripe, **filters: str) -> list[dict[str, Any]]:
    """Return the attempts that were made."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    found: list[dict[str, Any]] = (await sim.control("GET", f"/webhooks/attempts?{query}"))["data"]
    return found


async def add_rule(sim: SimulatedStripe, **given: Any) -> None:
    """Add a webhook rule."""
    await sim.control("POST", "/webhooks/rules", given)


async def test_deliveries_have_stripes_signature(sim: SimulatedStripe, receiver: Receiver) -> None:
    """The library accepts it with the endpoint's secret and the exact bytes only. The secret is shown once."""
    endpoint = await sim.subscribe(receiver, "payment_intent.created")
    intent = await sim.intent()
    await sim.wait_until_idle()
    (received,) = receiver.received
    header = received.headers["Stripe-Signature"]

    event = Webhook.construct_event(received.body, header, endpoint.secret)

    listed = (await sim.api.v1.webhook_endpoints.list_async()).data
    assert (event.type, event.data.object["id"]) == ("payment_intent.created", intent.id)
    assert [each.id for each in listed if "secret" not in each.to_dict()] == [endpoint.id]
    with pytest.raises(SignatureVerificationError):
        WebhookSignature.verify_header(received.body, header, "whsec_other", 300)
    with pytest.raises(SignatureVerificationError):
        WebhookSignature.verify_header(json.dumps(received.event), header, endpoint.secret, 300)


async def test_an_endpoint_for_connected_accounts_gets_no_events_of_the_account(
    sim: SimulatedStripe, receiver: Receiver
) -> None:
    """It is told by its application: https://github.com/stripe/stripe-dotnet/issues/1876."""
    connected = await sim.api.v1.webhook_endpoints.create_async(
        {"url": receiver.url, "enabled_events": ["*"], "connect": True}
    )
    ours = await sim.subscribe(receiver, "payment_intent.created")

    await sim.intent()
    await sim.wait_until_idle()

    assert (connected.application is None, ours.application) == (False, None)
    assert len(receiver.received) == 1


async def test_an_event_is_a_snapshot_that_names_its_request(sim: SimulatedStripe, receiver: Receiver) -> None:
    """It can be retrieved as it was delivered."""
    await sim.subscribe(receiver, "payment_intent.created")
    params: Any = {"amount": 1999, "currency": "usd"}
    intent = await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": "a-key"})
    await sim.pay(intent.id)
    await sim.wait_until_idle()

    event = receiver.received[0].event

    fetched = await sim.api.v1.events.retrieve_async(event["id"])
    headers: Any = intent.last_response.headers if intent.last_response else {}
    assert (event["object"], event["livemode"], event["api_version"]) == ("event", False, "2026-10-28.endive")
    assert event["request"] == {"id": headers["Request-Id"], "idempotency_key": "a-key"}
    assert event["data"]["object"]["status"] == "requires_payment_method"
    assert event["pending_webhooks"] == 1
    assert fetched.to_dict()["data"] == event["data"]


async def test_an_endpoint_receives_its_events_until_it_is_deleted(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Other events are not delivered."""
    endpoint = await sim.subscribe(receiver, "payment_intent.succeeded")
    first, second = await sim.intent(), await sim.intent()
    await sim.pay(first.id)
    await sim.wait_until_idle()
    await sim.api.v1.webhook_endpoints.delete_async(endpoint.id)
    await sim.pay(second.id)
    await sim.wait_until_idle()

    assert [each.event["data"]["object"]["id"] for each in receiver.received] == [first.id]


@pytest.mark.parametrize("statuses", [[500, 302], [404, 429]])
async def test_deliveries_are_retried_until_2xx(sim: SimulatedStripe, receiver: Receiver, statuses: list[int]) -> None:
    """Every attempt has the same body and is logged."""
    await sim.subscribe(receiver, "payment_intent.created")
    receiver.statuses = list(statuses)
    intent = await sim.intent()
    await sim.wait_until_idle()

    made = await attempts(sim, object_id=intent.id)

    assert [(each["number"], each["status"]) for each in made] == [(1, statuses[0]), (2, statuses[1]), (3, 200)]
    assert len({each.body for each in receiver.received}) == 1


async def test_retries_end(sim: SimulatedStripe, receiver: Receiver) -> None:
    """A delivery fails after the last attempt. Without a response the log names the error."""
    await sim.subscribe(receiver, "payment_intent.created")
    unreachable = await sim.subscribe(Receiver("http://127.0.0.1:1/webhook"), "payment_intent.created")
    receiver.statuses = [500] * 100
    await sim.intent()
    idle = await sim.control("GET", "/webhooks/idle")

    failed = await attempts(sim, endpoint_id=unreachable.id)

    quick = sim.simulator.settings.webhooks.quick_retries
    most = quick.max_attempts if quick else 0
    assert idle["deliveries"]["failed"] == 2
    assert len(receiver.received) == most
    assert [(each["status"], each["error"]) for each in failed] == [(None, "ClientConnectorError")] * most


async def test_copies_are_delivered_concurrently(sim: SimulatedStripe, receiver: Receiver) -> None:
    """The log shows that the attempts overlap."""
    await sim.subscribe(receiver, "payment_intent.succeeded")
    await add_rule(sim, types=["payment_intent.succeeded"], copies=2)
    receiver.pause_seconds = 0.05
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.wait_until_idle()

    first, second = await attempts(sim)

    assert first["event_id"] == second["event_id"]
    assert {first["copy"], second["copy"]} == {0, 1}
    assert max(first["started_monotonic"], second["started_monotonic"]) < min(
        first["finished_monotonic"], second["finished_monotonic"]
    )


async def test_a_delayed_delivery_is_overtaken(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Others start at once."""
    await sim.subscribe(receiver, *INTENT_EVENTS)
    await add_rule(sim, types=["payment_intent.created"], delay_seconds=0.5)
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.wait_until_idle()

    assert receiver.types() == ["payment_intent.succeeded", "payment_intent.created"]


async def test_a_held_delivery_waits_for_its_release(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Meanwhile the simulator counts as idle."""
    await sim.subscribe(receiver, *INTENT_EVENTS)
    await add_rule(sim, types=["payment_intent.succeeded"], hold=True)
    intent = await sim.intent()
    await sim.pay(intent.id)
    await sim.wait_until_idle()
    before = receiver.types()

    released = await sim.control("POST", "/webhooks/release", {"event_type": "payment_intent.succeeded"})
    await sim.wait_until_idle()

    assert before == ["payment_intent.created"]
    assert [each["event_type"] for each in released["data"]] == ["payment_intent.succeeded"]
    assert receiver.types() == ["payment_intent.created", "payment_intent.succeeded"]


async def test_a_rule_covers_one_object_or_a_number_of_events(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Dropped events are listed and can be redelivered."""
    await sim.subscribe(receiver, "payment_intent.succeeded")
    first, second, third = await sim.intent(), await sim.intent(), await sim.intent()
    await add_rule(sim, object_id=first.id, drop=True)
    await add_rule(sim, types=["payment_intent.succeeded"], drop=True, count=1)
    for intent in (first, second, third):
        await sim.pay(intent.id)
    await sim.wait_until_idle()
    delivered = [each.event["data"]["object"]["id"] for each in receiver.received]
    events = await sim.api.v1.events.list_async({"type": "payment_intent.succeeded"})

    await sim.control("POST", "/webhooks/redeliver", {"event_id": events.data[-1].id, "copies": 2})
    await sim.wait_until_idle()

    dropped = await sim.control("GET", "/webhooks/deliveries?state=dropped")
    assert delivered == [third.id]
    assert [each["object_id"] for each in dropped["data"]] == [first.id, second.id]
    assert [each.event["data"]["object"]["id"] for each in receiver.received[1:]] == [first.id] * 2


async def test_waiting_for_idle_times_out(sim: SimulatedStripe, receiver: Receiver) -> None:
    """The response is 504."""
    await sim.subscribe(receiver, "payment_intent.created")
    await add_rule(sim, delay_seconds=30)
    await sim.intent()

    answer = await sim.control("GET", "/webhooks/idle?timeout=0.05", status=504)

    assert (answer["idle"], answer["deliveries"]["pending"]) == (False, 1)


async def test_an_endpoint_is_updated(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Other fields stay as they are. The secret is not shown again, and the API version cannot be changed."""
    created = await sim.api.v1.webhook_endpoints.create_async(
        {"url": "https://shop.example/old", "enabled_events": ["charge.refunded"], "metadata": {"a": "1", "b": "2"}}
    )
    update = sim.api.v1.webhook_endpoints.update_async

    changes: Any = {"url": receiver.url, "enabled_events": ["payment_intent.created"], "metadata": {"a": ""}}
    await update(created.id, changes)
    await update(created.id, {"description": "of the shop"})
    await sim.intent()
    await sim.wait_until_idle()

    shown = (await sim.api.v1.webhook_endpoints.retrieve_async(created.id)).to_dict()
    before = {name: value for name, value in created.to_dict().items() if name != "secret"}
    assert shown == before | changes | {"metadata": {"b": "2"}, "description": "of the shop"}
    assert receiver.types() == ["payment_intent.created"]
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: api_version"):
        await update(created.id, {"api_version": "2026-10-28.endive"})  # type: ignore[arg-type]


async def test_a_disabled_endpoint_receives_nothing(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Neither new events nor retries, and those of that time are not sent later."""
    endpoint = await sim.subscribe(receiver, "payment_intent.created")
    receiver.statuses = [500]
    receiver.pause_seconds = 0.05
    update = sim.api.v1.webhook_endpoints.update_async
    failing = await sim.intent()
    disabled = await update(endpoint.id, {"disabled": True})
    await sim.wait_until_idle()
    await sim.intent()

    enabled = await update(endpoint.id, {"disabled": False})
    last = await sim.intent()
    await sim.wait_until_idle()

    assert (disabled.status, enabled.status) == ("disabled", "enabled")
    assert [each.event["data"]["object"]["id"] for each in receiver.received] == [failing.id, last.id]


@pytest.mark.parametrize(
    ("version", "top_level"), [("2024-06-20", True), ("2025-03-31.basil", False), ("2026-08-26.dahlia", False)]
)
async def test_events_have_the_endpoints_version(
    sim: SimulatedStripe, receiver: Receiver, version: Any, *, top_level: bool
) -> None:
    """Old versions have an invoice's subscription and a subscription's period at the top."""
    types: Any = ["invoice.paid", "customer.subscription.created"]
    await sim.api.v1.webhook_endpoints.create_async(
        {"url": receiver.url, "enabled_events": types, "api_version": version}
    )
    subscription = await sim.subscription()
    await sim.wait_until_idle()

    shown = {each.event["type"]: each.event for each in receiver.received}
    invoice, created = (shown[name]["data"]["object"] for name in types)
    assert {event["api_version"] for event in shown.values()} == {version}
    assert (invoice.get("subscription") == subscription.id, "parent" not in invoice) == (top_level, top_level)
    assert ("current_period_end" in created) is top_level
    assert ("current_period_end" in created["items"]["data"][0]) is not top_level


@pytest.mark.parametrize(
    "params",
    [
        {"url": "https://shop.example", "enabled_events": ["*"], "api_version": "2026-10-28.unknown"},
        {"url": "ftp://shop.example", "enabled_events": ["*"]},
        {"url": "https://shop.example", "enabled_events": ["payment_intent.vanished"]},
        {"url": "https://shop.example", "enabled_events": ["*", "charge.succeeded"]},
    ],
)
async def test_invalid_endpoints_are_refused(sim: SimulatedStripe, params: Any) -> None:
    """Wrong URLs, unknown events and versions, and `*` among others."""
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.webhook_endpoints.create_async(params)
