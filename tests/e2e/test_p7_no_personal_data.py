import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import stripe

from devstack.ports import LOOPBACK, free_port
from devstack.stack_options import StackOptions

from .conftest import until
from .harness.canaries import secret
from .harness.knobs import Knobs
from .harness.private_buyer import PrivateBuyer
from .harness.private_stage import INITIATE, WEBHOOK, Stage, secrets_of
from .harness.shop import Checkout
from .harness.system import System, running_system
from .harness.talkative_stripe import Told, talking_instead
from .harness.wares import Offer, Ware, make_offers, until_on_sale
from .harness.watch import Place, Watch, WatchedShop

SAVE = "/checkout.session.v1.CheckoutSessionService/SaveAttempt"

# Where each private thing may be. What is not named here may be nowhere that is watched; nor may anything else.
MAY_BE_IN = {
    "attempt id": {Place.STRIPE_REQUESTS, Place.HTTP_ERRORS},  # P1; and the purchase that goes with `already_paid`
    "Stripe's secret key": {Place.STRIPE_REQUESTS},
}
IN_THE_ORDER = {
    *("name", "e-mail", "phone", "address line 1", "address line 2", "city", "state", "postal code", "user id"),
    "attempt id",
}
OWN_SECRETS = {
    "gateway": {"Stripe's secret key", "webhook secret", "JWT secret", "attempt id secret"},
    "checkout-session": {"Redis password", "attempt encryption keys"},
    "orders": {"PostgreSQL password", "quarantine encryption keys"},
    "stripe-simulator": {"Stripe's secret key"},
}

SUCCEEDED = "payment_intent.succeeded"
Settings = dict[str, dict[str, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everything(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[System, Watch, Offer]]:
    """Run a system that logs all it can and gives up soon, with one ware whose name is private."""
    ports = {name: free_port() for name in ("checkout-session", "orders")}
    settings: Settings = {name: {"METRICS_LISTEN": f"{LOOPBACK}:{port}"} for name, port in ports.items()}
    settings["gateway"] = {"STRIPE_MAX_RETRIES": "0", "DRAIN_SECONDS": "1", "SERVICE_TIMEOUT_SECONDS": "3"}
    settings["orders"] |= {"STATEMENT_TIMEOUT_SECONDS": "2", "LOCK_TIMEOUT_SECONDS": "1", "DATABASE_TRIES": "1"}
    options = StackOptions(
        durable=False,
        rate_limits=False,
        settings={name: {"LOG_LEVEL": "DEBUG", **chosen} for name, chosen in settings.items()},
    )
    folder = tmp_path_factory.mktemp("holdfast")
    async with running_system(folder, options=options, with_proxies=True) as system:
        gateway = system.backend.addresses.gateways[0]
        urls = [f"{gateway}/metrics", *(f"http://{LOOPBACK}:{port}/metrics" for port in ports.values())]
        name = PrivateBuyer().name
        (offer,) = await make_offers(system.stripe, [Ware(f"Mug for {name.value}", {"usd": 1900})])
        async with system.shop() as shop:
            await until_on_sale([shop], [offer.price_id])
        yield system, Watch(system, urls), offer


@pytest_asyncio.fixture(loop_scope="session")
async def stage(everything: tuple[System, Watch, Offer]) -> AsyncIterator[Stage]:
    """Give a new buyer."""
    system, watch, offer = everything
    async with Knobs(system.backend.addresses.stripe_api) as knobs:
        yield Stage(system, watch, knobs, offer, MAY_BE_IN)


async def test_p7_a_purchase_leaves_the_buyer_in_the_order_and_nowhere_else(stage: Stage) -> None:
    """Every field is found in the orders database; in no log, metric, error, request to Stripe or command line."""
    async with stage.shop() as shop:
        checkout = await stage.buy(shop)
        returned = (await shop.come_back(checkout)).ok()
        order = (await shop.order(returned["order"]["id"])).ok()
        listed = (await shop.orders(limit="1")).ok()
        again = await stage.initiate(shop)

    assert order == listed["orders"][0]
    assert order["contact"] == {**stage.buyer.contact}
    assert (again.status, again.problem) == (409, "already_paid")
    assert await stage.watch.in_database([*stage.buyer.canaries, *stage.met]) == IN_THE_ORDER
    await stage.assert_nothing_leaked()


async def test_p7_a_guest_leaves_no_more(stage: Stage) -> None:
    """The same without a user."""
    async with stage.shop(signed_in=False) as shop:
        checkout = await stage.buy(shop)
        replies = [await shop.come_back(checkout), await shop.status(checkout.attempt_id)]

    assert [reply.status for reply in replies] == [200, 200]
    assert await stage.watch.in_database([*stage.buyer.canaries, *stage.met]) == IN_THE_ORDER - {"user id"}
    await stage.assert_nothing_leaked()


async def test_p7_an_erased_buyer_is_found_nowhere(stage: Stage) -> None:
    """Not even by who bought: the order is nobody's, and a repeated webhook brings nobody back."""
    async with stage.shop() as shop:
        checkout = await stage.buy(shop)
        returned = (await shop.come_back(checkout)).ok()
        await stage.system.backend.run_command("orders", "erase", stage.buyer.user_id.value)
        delivered = await stage.knobs.deliveries(object_id=checkout.intent_id, event_type=SUCCEEDED)
        await stage.knobs.redeliver(delivered[0]["event_id"])
        await stage.knobs.idle()

        answers = [await shop.order(returned["order"]["id"]), await shop.come_back(checkout)]
        answers.append(await shop.status(checkout.attempt_id))
        listed = (await shop.orders()).ok()

    (order,) = await stage.system.books.orders_of(checkout.attempt_id)
    assert [answer.status for answer in answers] == [404, 404, 404]
    assert listed["orders"] == []
    assert (order["total_minor"], order["user_id"]) == (checkout.amount, None)
    assert await stage.watch.in_database(stage.buyer.canaries) == set()
    await stage.assert_nothing_leaked()


async def test_p7_a_refused_field_is_named_and_never_quoted(stage: Stage) -> None:
    """Each field with something wrong in it, as a value, as a key, in a path, a query or a header."""
    buyer = stage.buyer
    bodies = [
        *(stage.body(contact=buyer.contact | {name: f"{value}\u0000"}) for name, value in buyer.contact.items()),
        *(stage.body(contact=buyer.contact | {name: value * 1000}) for name, value in buyer.contact.items()),
        *(stage.body(shippingAddress=buyer.address | {name: f"{text}\u0007"}) for name, text in buyer.address.items()),
        *(stage.body(shippingAddress=buyer.address | {name: [text]}) for name, text in buyer.address.items()),
        *(stage.body(contact=buyer.contact | {one.value: one.value}) for one in buyer.typed),
        *(stage.body(**{one.value: {one.value: one.value}}) for one in buyer.typed),
        stage.body(items=[{"priceId": buyer.email.value, "quantity": buyer.phone.value}]),
        stage.body(items=[{"priceId": f"price_{buyer.name.core}", "quantity": 1}]),
        stage.body(shippingOptionId=f"shr_{buyer.name.core}"),
        stage.body(supersedes=buyer.name.value, shippingOptionId=buyer.city.value, contact=buyer.email.value),
    ]
    key = {"Idempotency-Key": buyer.email.value}
    async with stage.shop() as shop, stage.shop(signed_in=False) as guests:
        refused = [await stage.initiate(shop, **body) for body in bodies]
        refused += [
            await guests.request("POST", INITIATE, json=stage.body(), headers=key),
            await shop.request("POST", "/api/orders", json={one.value: one.value for one in buyer.typed}),
            await shop.request(
                "POST", "/api/orders", json={"checkoutAttemptId": buyer.name.value, "paymentIntentId": buyer.city.value}
            ),
            await shop.orders(cursor=buyer.email.value),
            await shop.orders(limit=buyer.phone.value),
            await shop.order(buyer.name.core),
            await shop.status(buyer.name.core),
        ]

    assert {reply.status for reply in refused} == {422}
    await stage.assert_nothing_leaked()


async def test_p7_an_unreadable_request_is_never_quoted(stage: Stage) -> None:
    """Broken JSON, too large, another media type, no text, routes and methods that do not exist."""
    whole = json.dumps(stage.body(), ensure_ascii=False)
    json_type = {"Content-Type": "application/json"}
    name, email = stage.buyer.name, stage.buyer.email

    async with stage.shop() as shop:
        sent = [
            await shop.request("POST", INITIATE, data=data, headers=headers)
            for data, headers in (
                (whole[:-1].encode(), json_type),
                (whole.encode("latin-1"), json_type),
                (whole.encode() + b" " * 300_000, json_type),
                (f'"{name.value}"'.encode(), json_type),
                (whole.encode(), {"Content-Type": f"text/{name.core}"}),
            )
        ]
        sent += [
            await shop.request("GET", f"/api/{email.value}?{name.core}={email.value}"),
            await shop.request("DELETE", f"/api/orders/{name.core}"),
            await shop.request("GET", "/api/orders", headers={"Authorization": f"Basic {email.value}"}),
            await shop.request("OPTIONS", INITIATE, headers={"Origin": f"https://{name.core}.example"}),
        ]

    assert [reply.status for reply in sent] == [400, 400, 413, 422, 415, 404, 405, 401, 405]
    await stage.assert_nothing_leaked()


async def test_p7_a_refused_caller_is_never_quoted(stage: Stage) -> None:
    """A token that is expired, foreign or unsigned; an attempt and an order that are another's or nobody's."""
    user, now = stage.buyer.user_id.value, int(time.time())
    unsigned = base64.urlsafe_b64encode(json.dumps({"sub": user, "exp": now + 60}).encode()).decode().rstrip("=")
    async with stage.shop() as shop, stage.shop(signed_in=False) as guests:
        good = shop.token(user, email=stage.buyer.email.value)
        tokens = [shop.token(user, exp=now - 600), good[:-9] + "AAAAAAAAA", f"eyJhbGciOiJub25lIn0.{unsigned}.", user]
        stage.met.extend(secret("token", part) for token in [good, *tokens] for part in token.split(".") if part)
        checkout = await stage.checkout(shop)

        replies = [
            *[
                await guests.request("GET", "/api/orders", headers={"Authorization": f"Bearer {token}"})
                for token in [good, *tokens]
            ],
            await guests.status(checkout.attempt_id),
            await guests.come_back(checkout),
            await stage.initiate(guests, supersedes=checkout.attempt_id),
        ]

    assert [reply.status for reply in replies] == [200, *[401] * 4, *[404] * 3]
    await stage.assert_nothing_leaked()


async def test_p7_a_refused_webhook_is_never_quoted(stage: Stage) -> None:
    """Tampered with, signed with another secret, or signed and no event: Stripe's account of the buyer stays out."""
    checkout_free = {"receipt_email": stage.buyer.email.value, "shipping": {"name": stage.buyer.name.value}}
    about = json.dumps({"id": "evt_1", "type": SUCCEEDED, "data": {"object": checkout_free}})
    async with stage.shop(signed_in=False) as stripes:
        signed = stripe.WebhookSignature.generate_signature_header("{}", stage.system.backend.addresses.webhook_secret)
        tampered = await stripes.request(
            "POST",
            WEBHOOK,
            data=about.encode(),
            headers={"Content-Type": "application/json", "Stripe-Signature": f"{signed},{stage.buyer.email.value}"},
        )
        replies = [
            tampered,
            await stage.deliver(stripes, about, key=f"whsec_{stage.buyer.name.core}"),
            await stage.deliver(stripes, about),
            await stage.deliver(stripes, f'{{"type": "{stage.buyer.name.value}"'),
        ]

    assert [reply.problem for reply in replies] == ["bad_signature", "bad_signature", "bad_event", "bad_event"]
    await stage.assert_nothing_leaked()


@pytest.mark.parametrize("away", ["valkey", "checkout-session", "postgres", "orders"])
async def test_p7_an_outage_tells_nothing(stage: Stage, away: str) -> None:
    """Each store and service away in the middle of a checkout."""
    async with stage.shop() as shop:
        checkout = await stage.checkout(shop)
        await stage.system.backend.kill(away)
        try:
            (await shop.pay(checkout)).ok()
            replies = await asyncio.gather(stage.initiate(shop), shop.come_back(checkout), shop.orders())
        finally:
            await stage.system.backend.start(away)
        await until(lambda: _ready(shop), "readiness")

    assert 503 in {reply.status for reply in replies}
    await stage.assert_nothing_leaked()


@pytest.mark.parametrize(
    ("refusal", "table"),
    [("constraint", "orders"), ("constraint", "payments"), ("column", "orders"), ("lock", "orders")],
)
async def test_p7_a_refusal_of_the_database_tells_nothing(stage: Stage, refusal: str, table: str) -> None:
    """A constraint that objects to the row, a column that is gone, a lock that is not to be had."""
    column = {"orders": "contact_name", "payments": "user_id"}[table]
    until_undone = {
        "constraint": (
            f"ALTER TABLE {table} ADD CONSTRAINT objects CHECK (length({column}) < 3) NOT VALID",
            f"ALTER TABLE {table} DROP CONSTRAINT objects",
        ),
        "column": (
            f"ALTER TABLE {table} RENAME {column} TO gone",
            f"ALTER TABLE {table} RENAME gone TO {column}",
        ),
    }
    async with stage.shop() as shop:
        checkout = await stage.checkout(shop)
        if refusal == "lock":
            async with stage.system.books.locked(table):
                (await shop.pay(checkout)).ok()
                refused = await shop.come_back(checkout)
        else:
            spoil, mend = until_undone[refusal]
            # The webhook's transaction would hold the row that the browser's writes, and be refused only later.
            await stage.knobs.deliver(types=[SUCCEEDED], hold=True)
            await stage.system.books.rows(spoil)
            (await shop.pay(checkout)).ok()
            refused = await shop.come_back(checkout)
            await stage.knobs.deliver_as_usual()
            await stage.knobs.release_deliveries()
            await until(lambda: _delivered(stage, checkout), "the webhook's refusal")
            await stage.system.books.rows(mend)

    assert refused.status == (503 if refusal == "lock" else 500)
    assert "ERROR" in stage.system.backend.log_of("postgres")
    await stage.assert_nothing_leaked()


async def test_p7_a_refusal_of_the_attempt_store_tells_nothing(stage: Stage) -> None:
    """Valkey is full, holds something else under the attempt's key, or holds what cannot be read."""
    store = stage.system.attempts.client
    async with stage.shop() as shop:
        checkout = await stage.checkout(shop)
        key, _ = await stage.system.attempts.copy_of(checkout.attempt_id)
        await store.config_set("maxmemory", 1)
        full = await shop.request("POST", INITIATE, json=stage.body())
        await store.config_set("maxmemory", 0)
        await store.delete(key)
        await store.rpush(key, stage.buyer.name.value)
        of_another_type = await shop.status(checkout.attempt_id)
        await store.delete(key)
        await store.hset(key, "content", stage.buyer.name.value)
        unreadable = await shop.status(checkout.attempt_id)
        await store.delete(key)

    assert [full.status, of_another_type.status, unreadable.status] == [503, 503, 503]
    await stage.assert_nothing_leaked()


async def test_p7_faults_at_stripe_tell_nothing(stage: Stage) -> None:
    """Errors, resets and a declined card."""
    async with stage.shop() as shop:
        for kind in ("error_before", "reset_before", "reset_after"):
            await stage.knobs.fault(kind=kind, method="POST", path="/v1/payment_intents")
            await shop.request("POST", INITIATE, json=stage.body())
        checkout = await stage.checkout(shop)
        declined = await shop.pay(checkout, payment_method="pm_card_chargeDeclined")
        unpaid = await shop.come_back(checkout)

    assert (declined.status, unpaid.problem) == (402, "payment_not_succeeded")
    await stage.assert_nothing_leaked()


async def test_p7_a_quarantine_tells_nothing(stage: Stage) -> None:
    """Another sum, another intent, a second payment, a missing attempt, content that cannot be recorded."""
    event = {"id": "evt_1", "object": "event", "type": SUCCEEDED}
    intent = {"object": "payment_intent", "status": "succeeded", "currency": "usd", "livemode": False}
    async with stage.shop() as shop, stage.shop(signed_in=False) as stripes:

        async def succeeded(intent_id: str, attempt_id: str, amount: int) -> None:
            about = intent | {"id": intent_id, "amount_received": amount, "metadata": {"checkoutAttemptId": attempt_id}}
            said = json.dumps(event | {"data": {"object": about | {"receipt_email": stage.buyer.email.value}}})
            (await stage.deliver(stripes, said)).ok()

        checkout = await stage.checkout(shop)
        await succeeded("pi_stranger", checkout.attempt_id, checkout.amount)
        await succeeded(checkout.intent_id, checkout.attempt_id, checkout.amount + 1)
        await succeeded("pi_missing", "00000000-0000-4000-8000-000000000000", 5)
        bought = await Stage(stage.system, stage.watch, stage.knobs, stage.offer, MAY_BE_IN).buy(stripes)
        await succeeded("pi_second", bought.attempt_id, bought.amount)
        await stage.system.records.set_aside_unrecordable(stage.buyer.contact, stage.buyer.user_id.value)

    reasons = {row["quarantine_reason"] for row in await stage.system.books.quarantined()}
    assert reasons == {"intent_mismatch", "amount_mismatch", "attempt_missing", "duplicate_payment", "unrecordable"}
    await stage.assert_nothing_leaked()


@pytest.mark.parametrize(
    ("form", "status"),
    # The gateway goes easy on Stripe for a while after a 429, so that one comes last.
    [("intent", 200), ("text", 200), *(("error", status) for status in (400, 401, 402, 404, 409, 500, 429))],
)
async def test_p7_a_stripe_that_tells_too_much_is_not_repeated(stage: Stage, status: int, form: str) -> None:
    """An error, an intent or no JSON at all, with everything about the buyer in it."""
    about = {one.name: one.value for one in [*stage.buyer.canaries, *secrets_of(stage.system)]}
    error = {"type": "invalid_request_error", "code": stage.buyer.name.value, "message": str(about), "param": about}
    intent = {"object": "payment_intent", "id": stage.buyer.name.value, **about}
    request_id = f"req_{stage.buyer.email.value}"
    told = {
        "error": Told(status, json.dumps({"error": error}), request_id),
        "intent": Told(status, json.dumps(intent), request_id),
        "text": Told(status, f"<html>{about}</html>", request_id, "text/html"),
    }
    async with stage.shop() as shop:
        checkout = await stage.checkout(shop)
        async with talking_instead(stage.system.faults.stripe_api, told[form]):
            replies = await asyncio.gather(
                shop.request("POST", INITIATE, json=stage.body()),
                shop.status(checkout.attempt_id),
                shop.come_back(checkout),
            )

    assert min(reply.status for reply in replies) >= 400
    await stage.assert_nothing_leaked()


async def test_p7_a_request_cut_short_tells_nothing(stage: Stage) -> None:
    """The gateway ends, and checkout-session with it, while a checkout is under way and takes too long."""
    async with stage.shop() as shop:
        stage.system.faults.checkout_session.checkpoint.hold_next(SAVE)
        asking = asyncio.create_task(stage.initiate(shop))
        await until(lambda: _sent(stage, SAVE), "the attempt on its way")

        await asyncio.gather(*(stage.system.backend.stop(name) for name in ("gateway", "checkout-session")))
        stage.system.faults.disarm()
        await asyncio.gather(asking, return_exceptions=True)
        for name in ("checkout-session", "gateway"):
            await stage.system.backend.start(name)
        await until(lambda: _ready(shop), "readiness")

    await stage.assert_nothing_leaked()


def test_p7_a_process_knows_no_secret_but_its_own(everything: tuple[System, Watch, Offer]) -> None:
    """Neither in its environment, beyond what it needs, nor on its command line, which everybody can read."""
    system, watch, _ = everything
    known = {
        name: {one.name for one in secrets_of(system) if one.value.encode() in environment}
        for name, environment in watch.environments().items()
    }

    assert known == {name: OWN_SECRETS.get(name, set()) for name in known}


async def _delivered(stage: Stage, checkout: Checkout) -> bool:
    return bool(await stage.knobs.delivery_attempts(object_id=checkout.intent_id, event_type=SUCCEEDED))


async def _ready(shop: WatchedShop) -> bool:
    return (await shop.request("GET", "/readyz")).status == 200


async def _sent(stage: Stage, road: str) -> bool:
    return any(call.road == road for call in stage.system.faults.checkout_session.checkpoint.calls[-1:])
