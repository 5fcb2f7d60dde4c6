"""No personal data and no secret leaves the places where it belongs (P7).

Every value of the buyer and every secret is a canary. After each test all output of the system is searched for them.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import pytest_asyncio
import stripe

from devstack.ports import LOOPBACK, free_port
from devstack.stack_options import StackOptions

from .conftest import until
from .harness.canaries import Canary, secret
from .harness.control_api import ControlApi
from .harness.echoing_stripe import FixedAnswer, answering_instead
from .harness.leak_watch import LeakWatch, Place
from .harness.outgoing_calls import OutgoingCall
from .harness.private_buyer import PrivateBuyer, secrets_of_checkout, secrets_of_system
from .harness.products import Price, Product, create_prices, until_on_sale
from .harness.shop import Checkout, Reply, Shop
from .harness.system import System, running_system

INITIATE: Final = "/api/stripe/initiate-checkout"
WEBHOOK: Final = "/api/stripe/webhook"
SUCCEEDED: Final = "payment_intent.succeeded"
EVENT: Final = {"id": "evt_1", "object": "event", "api_version": stripe.api_version, "type": SUCCEEDED, "created": 1}
ALLOWED: Final = {
    # A value that is not named here is allowed in no place that is searched.
    "attempt id": {Place.STRIPE_REQUESTS, Place.HTTP_ERRORS},  # P1; `already_paid` and `payment_processing`
    "Stripe's secret key": {Place.STRIPE_REQUESTS},
}
IN_THE_ORDER: Final = {
    *("name", "e-mail", "phone", "address line 1", "address line 2", "city", "state", "postal code", "user id"),
    "attempt id",
}
OWN_SECRETS: Final = {
    "gateway": {"Stripe's secret key", "webhook secret", "JWT secret", "attempt id secret"},
    "checkout-session": {"Redis password", "attempt encryption keys"},
    "orders": {"PostgreSQL password", "quarantine encryption keys"},
    "stripe-simulator": {"Stripe's secret key"},
}


@dataclass(frozen=True)
class Private:
    """One buyer in a system that logs as much as it can and is searched for leaks."""

    system: System
    watch: LeakWatch
    control_api: ControlApi
    price: Price
    """Of a product whose name is private."""
    buyer: PrivateBuyer = field(default_factory=PrivateBuyer)
    disclosed: list[Canary] = field(default_factory=list)
    """Values that the system disclosed to the buyer."""

    def another(self) -> "Private":
        """Return another buyer in the same system."""
        return Private(self.system, self.watch, self.control_api, self.price)

    def shop(self, *, signed_in: bool = True) -> AbstractAsyncContextManager[Shop]:
        """Open a shop as the buyer, or as a guest."""
        addresses = self.system.backend.addresses
        return Shop(
            gateway=addresses.gateways[0],
            stripe_api=addresses.stripe_api,
            publishable_key=addresses.stripe_publishable_key,
            jwt_secret=addresses.jwt_secret,
            user_id=self.buyer.user_id.value if signed_in else None,
            observe=self.watch.observe,
        )

    def body(self, **changes: Any) -> dict[str, Any]:
        """Return the body of an initiate, changed."""
        return self.buyer.cart(self.system, [self.price.id]).as_body() | changes

    async def initiate(self, shop: Shop, **changes: Any) -> Reply:
        """Initiate a checkout with the buyer's idempotency key."""
        key = {"Idempotency-Key": self.buyer.idempotency_key.value}
        return await shop.request("POST", INITIATE, json=self.body(**changes), headers=key)

    async def checkout(self, shop: Shop) -> Checkout:
        """Initiate a checkout that must be granted."""
        granted = shop.granted(await self.initiate(shop))
        self.disclosed.extend(secrets_of_checkout(granted))
        return granted

    async def buy(self, shop: Shop) -> Checkout:
        """Buy, and wait for the order."""
        checkout = await self.checkout(shop)
        (await shop.pay(checkout)).ok()
        await self.control_api.until_idle()
        return checkout

    async def deliver(self, shop: Shop, body: str, *, key: str | None = None) -> Reply:
        """Deliver a webhook that is signed with Stripe's key, or another."""
        known = self.system.backend.addresses.webhook_secret
        header = stripe.WebhookSignature.generate_signature_header(body, key or known)
        headers = {"Content-Type": "application/json", "Stripe-Signature": header}
        return await shop.request("POST", WEBHOOK, data=body.encode(), headers=headers)

    async def assert_nothing_leaked(self) -> None:
        """Assert that no canary is in a place where it is not allowed."""
        await self.control_api.clear_faults()
        await self.control_api.until_idle()
        canaries = [*self.buyer.canaries, *self.disclosed, *secrets_of_system(self.system)]
        assert await self.watch.leaks(canaries, ALLOWED) == {}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Private]:
    """Run a system that logs at DEBUG and has short timeouts."""
    ports = {name: free_port() for name in ("checkout-session", "orders")}
    settings: dict[str, dict[str, str]] = {
        name: {"METRICS_LISTEN": f"{LOOPBACK}:{port}"} for name, port in ports.items()
    }
    settings["gateway"] = {"STRIPE_MAX_RETRIES": "0", "DRAIN_SECONDS": "1", "SERVICE_TIMEOUT_SECONDS": "3"}
    settings["gateway"] |= {"SERVICE_TRY_SECONDS": "3", "STRIPE_TIMEOUT_SECONDS": "4", "STRIPE_BUDGET_SECONDS": "4"}
    settings["orders"] |= {"STATEMENT_TIMEOUT_SECONDS": "2", "LOCK_TIMEOUT_SECONDS": "1", "DATABASE_TRIES": "1"}
    options = StackOptions(
        durable=False,
        rate_limits=False,
        settings={name: {"LOG_LEVEL": "DEBUG", **chosen} for name, chosen in settings.items()},
    )
    folder = tmp_path_factory.mktemp("holdfast")
    async with (
        running_system(folder, options=options, with_proxies=True) as system,
        ControlApi(system.backend.addresses.stripe_api) as control_api,
        system.shop() as shop,
    ):
        urls = [f"{shop.gateway}/metrics", *(f"http://{LOOPBACK}:{port}/metrics" for port in ports.values())]
        (price,) = await create_prices(system.stripe, [Product(f"Mug for {PrivateBuyer().name.value}", {"usd": 1900})])
        await until_on_sale([shop], [price])
        yield Private(system, LeakWatch(system, urls), control_api, price)


@pytest.fixture
def private(watched: Private) -> Private:
    """Return a new buyer."""
    return watched.another()


async def test_p7_a_purchase_leaves_the_buyer_in_the_order_and_nowhere_else(private: Private) -> None:
    """Every value is in the orders database, and in no log, metric, error, request to Stripe or command line."""
    async with private.shop() as shop:
        checkout = await private.buy(shop)
        returned = (await shop.complete(checkout)).ok()
        order = (await shop.order(returned["order"]["id"])).ok()
        listed = (await shop.orders(limit="1")).ok()
        again = await private.initiate(shop)

    assert order == listed["orders"][0]
    assert order["contact"] == {**private.buyer.contact}
    assert (again.status, again.problem) == (409, "already_paid")
    assert await private.watch.in_database([*private.buyer.canaries, *private.disclosed]) == IN_THE_ORDER
    await private.assert_nothing_leaked()


async def test_p7_a_guests_purchase_leaks_nothing(private: Private) -> None:
    """The same without a user id."""
    async with private.shop(signed_in=False) as shop:
        checkout = await private.buy(shop)
        replies = [await shop.complete(checkout), await shop.status(checkout.attempt_id)]

    assert [reply.status for reply in replies] == [200, 200]
    assert await private.watch.in_database([*private.buyer.canaries, *private.disclosed]) == IN_THE_ORDER - {"user id"}
    await private.assert_nothing_leaked()


async def test_p7_an_erased_buyer_is_found_nowhere(private: Private) -> None:
    """Erasure leaves the order without its user, and a repeated webhook restores nothing."""
    async with private.shop() as shop:
        checkout = await private.buy(shop)
        returned = (await shop.complete(checkout)).ok()
        await private.system.backend.run_command("orders", "erase", private.buyer.user_id.value)
        delivered = await private.control_api.deliveries(object_id=checkout.intent_id, event_type=SUCCEEDED)
        await private.control_api.redeliver(delivered[0]["event_id"])
        await private.control_api.until_idle()

        answers = [await shop.order(returned["order"]["id"]), await shop.complete(checkout)]
        answers.append(await shop.status(checkout.attempt_id))
        listed = (await shop.orders()).ok()

    (order,) = await private.system.orders_db.orders_of(checkout.attempt_id)
    assert [answer.status for answer in answers] == [404, 404, 404]
    assert listed["orders"] == []
    assert (order["total_minor"], order["user_id"]) == (checkout.amount, None)
    assert await private.watch.in_database(private.buyer.canaries) == set()
    await private.assert_nothing_leaked()


async def test_p7_a_refused_field_is_named_and_never_quoted(private: Private) -> None:
    """An invalid value of each field, in a body, as a key, in a path, a query or a header."""
    buyer = private.buyer
    bodies = [
        *(private.body(contact=buyer.contact | {name: f"{value}\u0000"}) for name, value in buyer.contact.items()),
        *(private.body(contact=buyer.contact | {name: value * 1000}) for name, value in buyer.contact.items()),
        *(
            private.body(shippingAddress=buyer.address | {name: f"{text}\u0007"})
            for name, text in buyer.address.items()
        ),
        *(private.body(shippingAddress=buyer.address | {name: [text]}) for name, text in buyer.address.items()),
        *(private.body(contact=buyer.contact | {one.value: one.value}) for one in buyer.typed),
        *(private.body(**{one.value: {one.value: one.value}}) for one in buyer.typed),
        private.body(items=[{"priceId": buyer.email.value, "quantity": buyer.phone.value}]),
        private.body(items=[{"priceId": f"plan_{buyer.name.core}", "quantity": 1}]),  # price_… is looked up at Stripe
        private.body(shippingOptionId=f"shr_{buyer.name.core}"),
        private.body(supersedes=buyer.name.value, shippingOptionId=buyer.city.value, contact=buyer.email.value),
    ]
    key = {"Idempotency-Key": buyer.email.value}
    async with private.shop() as shop, private.shop(signed_in=False) as guests:
        refused = [await private.initiate(shop, **body) for body in bodies]
        refused += [
            await guests.request("POST", INITIATE, json=private.body(), headers=key),
            await shop.request("POST", "/api/orders", json={one.value: one.value for one in buyer.typed}),
            await shop.request(
                "POST", "/api/orders", json={"checkoutAttemptId": buyer.name.value, "paymentIntentId": buyer.city.value}
            ),
            await shop.orders(cursor=buyer.email.value),
            await shop.orders(limit=buyer.phone.value),
            await shop.order(buyer.name.core),
            await shop.status(buyer.name.core),
        ]

    assert {reply.status for reply in refused} == {409, 422}
    await private.assert_nothing_leaked()


async def test_p7_an_unreadable_request_is_never_quoted(private: Private) -> None:
    """Broken JSON, invalid UTF-8, a large body, another media type, unknown routes and methods."""
    whole = json.dumps(private.body(), ensure_ascii=False)
    json_type = {"Content-Type": "application/json"}
    name, email = private.buyer.name, private.buyer.email

    async with private.shop() as shop:
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
    await private.assert_nothing_leaked()


async def test_p7_a_refused_caller_is_never_quoted(private: Private) -> None:
    """Expired, foreign and unsigned tokens, and a guest who asks for a user's attempt."""
    user, now = private.buyer.user_id.value, int(time.time())
    unsigned = base64.urlsafe_b64encode(json.dumps({"sub": user, "exp": now + 60}).encode()).decode().rstrip("=")
    async with private.shop() as shop, private.shop(signed_in=False) as guests:
        good = shop.token(user, email=private.buyer.email.value)
        tokens = [shop.token(user, exp=now - 600), good[:-9] + "AAAAAAAAA", f"eyJhbGciOiJub25lIn0.{unsigned}.", user]
        private.disclosed.extend(
            secret("token", part) for token in [good, *tokens] for part in token.split(".") if part
        )
        checkout = await private.checkout(shop)

        replies = [
            *[
                await guests.request("GET", "/api/orders", headers={"Authorization": f"Bearer {token}"})
                for token in [good, *tokens]
            ],
            await guests.status(checkout.attempt_id),
            await guests.complete(checkout),
            await private.initiate(guests, supersedes=checkout.attempt_id),
        ]

    assert [reply.status for reply in replies] == [200, *[401] * 4, *[404] * 3]
    await private.assert_nothing_leaked()


async def test_p7_a_refused_webhook_is_never_quoted(private: Private) -> None:
    """A wrong signature, another secret, and signed bodies that are no events."""
    personal = {"receipt_email": private.buyer.email.value, "shipping": {"name": private.buyer.name.value}}
    event = json.dumps(EVENT | {"data": {"object": personal}})
    async with private.shop(signed_in=False) as stripes:
        headers = {"Content-Type": "application/json", "Stripe-Signature": f"t=1,v1=00,{private.buyer.email.value}"}
        replies = [
            await stripes.request("POST", WEBHOOK, data=event.encode(), headers=headers),
            await private.deliver(stripes, event, key=f"whsec_{private.buyer.name.core}"),
            await private.deliver(stripes, event),
            await private.deliver(stripes, f'{{"type": "{private.buyer.name.value}"'),
        ]

    assert [reply.problem for reply in replies] == ["bad_signature", "bad_signature", "bad_event", "bad_event"]
    await private.assert_nothing_leaked()


@pytest.mark.parametrize("away", ["valkey", "checkout-session", "postgres", "orders"])
async def test_p7_an_outage_leaks_nothing(private: Private, away: str) -> None:
    """Each store and each service is killed during a checkout."""
    async with private.shop() as shop:
        checkout = await private.checkout(shop)
        await private.system.backend.kill(away)
        try:
            (await shop.pay(checkout)).ok()
            replies = await asyncio.gather(private.initiate(shop), shop.complete(checkout), shop.orders())
        finally:
            await private.system.backend.start(away)
        await until(lambda: _ready(shop), "readiness")

    assert 503 in {reply.status for reply in replies}
    await private.assert_nothing_leaked()


@pytest.mark.parametrize(
    ("error", "table"),
    [("constraint", "orders"), ("constraint", "payments"), ("column", "orders"), ("lock", "orders")],
)
async def test_p7_a_database_error_leaks_nothing(private: Private, error: str, table: str) -> None:
    """A violated constraint, a missing column, and a lock timeout."""
    column = {"orders": "contact_name", "payments": "user_id"}[table]
    statements = {
        "constraint": ("ADD CONSTRAINT refuses CHECK (length({column}) < 3) NOT VALID", "DROP CONSTRAINT refuses"),
        "column": ("RENAME {column} TO gone", "RENAME gone TO {column}"),
    }
    async with private.shop() as shop:
        checkout = await private.checkout(shop)
        if error == "lock":
            async with private.system.orders_db.locked(table):
                (await shop.pay(checkout)).ok()
                refused = await shop.complete(checkout)
        else:
            break_it, mend_it = (f"ALTER TABLE {table} {each.format(column=column)}" for each in statements[error])
            # Else the browser's transaction might wait for that of the webhook.
            await private.control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
            await private.system.orders_db.rows(break_it)
            (await shop.pay(checkout)).ok()
            refused = await shop.complete(checkout)
            await private.control_api.clear_webhook_rules()
            await private.control_api.release_deliveries()
            await until(lambda: _delivered(private, checkout), "the answer to the webhook")
            await private.system.orders_db.rows(mend_it)

    assert refused.status == (503 if error == "lock" else 500)
    assert "ERROR" in private.system.backend.log_of("postgres")
    await private.assert_nothing_leaked()


async def test_p7_an_error_of_the_attempt_store_leaks_nothing(private: Private) -> None:
    """Redis is full, holds another type under the attempt's key, or content that cannot be decrypted."""
    store = private.system.attempt_store.client
    async with private.shop() as shop:
        checkout = await private.checkout(shop)
        key, stored = await private.system.attempt_store.backup(checkout.attempt_id)
        await store.config_set("maxmemory", 1)
        full = await shop.request("POST", INITIATE, json=private.body())
        await store.config_set("maxmemory", 0)
        await store.delete(key)
        await store.rpush(key, private.buyer.name.value)
        of_another_type = await shop.status(checkout.attempt_id)
        await store.delete(key)
        await private.system.attempt_store.restore((key, stored))
        await store.hset(key, "content", private.buyer.name.value)
        unreadable = await shop.status(checkout.attempt_id)
        await store.delete(key)

    assert [full.status, of_another_type.status, unreadable.status] == [503, 503, 503]
    await private.assert_nothing_leaked()


async def test_p7_a_fault_of_stripe_leaks_nothing(private: Private) -> None:
    """Errors, connection resets and a declined card."""
    async with private.shop() as shop:
        for kind in ("error_before", "reset_before", "reset_after"):
            await private.control_api.add_fault(kind=kind, method="POST", path="/v1/payment_intents")
            await shop.request("POST", INITIATE, json=private.body())
        checkout = await private.checkout(shop)
        declined = await shop.pay(checkout, payment_method="pm_card_chargeDeclined")
        unpaid = await shop.complete(checkout)

    assert (declined.status, unpaid.problem) == (402, "payment_not_succeeded")
    await private.assert_nothing_leaked()


async def test_p7_a_quarantine_leaks_nothing(private: Private) -> None:
    """Quarantine for every reason: sum, intent, second payment, missing attempt, unrecordable content."""
    intent = {"object": "payment_intent", "status": "succeeded", "currency": "usd", "livemode": False, "created": 1}
    async with private.shop() as shop, private.shop(signed_in=False) as stripes:

        async def succeeded(intent_id: str, attempt_id: str, amount: int) -> None:
            subject = intent | {
                "id": intent_id,
                "amount_received": amount,
                "metadata": {"checkoutAttemptId": attempt_id},
                "receipt_email": private.buyer.email.value,
            }
            (await private.deliver(stripes, json.dumps(EVENT | {"data": {"object": subject}}))).ok()

        checkout = await private.checkout(shop)
        await succeeded("pi_stranger", checkout.attempt_id, checkout.amount)
        await succeeded(checkout.intent_id, checkout.attempt_id, checkout.amount + 1)
        lost = await private.another().checkout(stripes)
        await private.system.attempt_store.lose(lost.attempt_id)
        await succeeded("pi_missing", lost.attempt_id, 5)
        bought = await private.another().buy(stripes)
        await succeeded("pi_second", bought.attempt_id, bought.amount)
        await private.system.rpc.quarantine_unrecordable(private.buyer.contact, private.buyer.user_id.value)

    reasons = {row["quarantine_reason"] for row in await private.system.orders_db.quarantined()}
    assert reasons == {"intent_mismatch", "amount_mismatch", "attempt_missing", "duplicate_payment", "unrecordable"}
    await private.assert_nothing_leaked()


@pytest.mark.parametrize(
    ("form", "status"),
    # 429 comes last: the gateway pauses after it.
    [("intent", 200), ("text", 200), *(("error", status) for status in (400, 401, 402, 404, 409, 500, 429))],
)
async def test_p7_stripes_answer_is_not_repeated(private: Private, status: int, form: str) -> None:
    """An error, an intent or a page of HTML that contains every private value."""
    everything = {one.name: one.value for one in [*private.buyer.canaries, *secrets_of_system(private.system)]}
    error = {
        "type": "invalid_request_error",
        "code": private.buyer.name.value,
        "message": str(everything),
        "param": everything,
    }
    intent = {"object": "payment_intent", "id": private.buyer.name.value, **everything}
    request_id = f"req_{private.buyer.email.value}"
    answers = {
        "error": FixedAnswer(status, json.dumps({"error": error}), request_id),
        "intent": FixedAnswer(status, json.dumps(intent), request_id),
        "text": FixedAnswer(status, f"<html>{everything}</html>", request_id, "text/html"),
    }
    async with private.shop() as shop:
        checkout = await private.checkout(shop)
        async with answering_instead(private.system.proxies.stripe_api, answers[form]):
            replies = await asyncio.gather(
                shop.request("POST", INITIATE, json=private.body()),
                shop.status(checkout.attempt_id),
                shop.complete(checkout),
            )

    assert min(reply.status for reply in replies) >= 400
    await private.assert_nothing_leaked()


async def test_p7_an_interrupted_request_leaks_nothing(private: Private) -> None:
    """The gateway and checkout-session stop during a checkout that outlasts the drain."""
    async with private.shop() as shop:
        held = private.system.proxies.break_before(OutgoingCall.SAVE_ATTEMPT)
        request = asyncio.create_task(private.initiate(shop))
        await held.hit()

        await asyncio.gather(*(private.system.backend.stop(name) for name in ("gateway", "checkout-session")))
        private.system.proxies.reset()
        await asyncio.gather(request, return_exceptions=True)
        for name in ("checkout-session", "gateway"):
            await private.system.backend.start(name)
        await until(lambda: _ready(shop), "readiness")

    await private.assert_nothing_leaked()


def test_p7_a_process_knows_no_secret_but_its_own(watched: Private) -> None:
    """The environment of a process has the secrets that it needs, and no others."""
    known = {
        name: {one.name for one in secrets_of_system(watched.system) if one.value.encode() in environment}
        for name, environment in watched.watch.environments().items()
    }

    assert known == {name: OWN_SECRETS.get(name, set()) for name in known}


async def _delivered(private: Private, checkout: Checkout) -> bool:
    return bool(await private.control_api.delivery_attempts(object_id=checkout.intent_id, event_type=SUCCEEDED))


async def _ready(shop: Shop) -> bool:
    return (await shop.request("GET", "/readyz")).status == 200
