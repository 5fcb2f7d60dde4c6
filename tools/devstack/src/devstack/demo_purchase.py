"""Demo: one purchase through the public interfaces, with the state of the real systems after each step."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import redis
import stripe

from devstack import json_http
from devstack.stack import ORDERS_DATABASE, Stack

_CART: Final = {"mug": 2, "notebook": 1}
_CART_IN_WORDS: Final = "2 mugs and 1 notebook, standard shipping"
_SHIPPING: Final = "standard"
_BUYER = {"name": "Ada Example", "email": "ada@example.com", "phone": "+15550100"}
_ADDRESS = {"line1": "1 Harbour Street", "city": "Portland", "state": "OR", "postalCode": "97201", "country": "US"}
_TEST_CARD = "pm_card_visa"
_WEBHOOK_SECONDS = 20.0
_POLL_SECONDS = 0.1
_HTTP_OK = 200

Found = TypeVar("Found")


class DemoFailed(RuntimeError):
    """A step of the purchase failed."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The gateway's response to initiate-checkout."""

    attempt_id: str
    client_secret: str
    amount: int
    """In minor units."""

    @property
    def intent_id(self) -> str:
        """The intent's id, with which its client secret begins."""
        return self.client_secret.partition("_secret_")[0]


class DemoPurchase:
    """Buys two mugs and a notebook, and reports each step."""

    def __init__(self, stack: Stack, report: Callable[[str], None]) -> None:
        self._stack = stack
        self._facts = stack.facts
        self._stripe = stack.stripe.client()
        self._report = report
        self._step = 0

    def run(self) -> None:
        """Make the purchase. Raises DemoFailed at the first failing step."""
        with redis.Redis.from_url(self._facts.redis) as attempts:
            checkout = self._initiate()
            self._show_attempt(attempts, checkout)
            self._show_intent(checkout)
            self._pay(checkout)
            order = self._order(checkout)
            self._show_webhook(checkout, order)
            self._show_order(order)
            self._show_attempt_gone(attempts, checkout)

    def _initiate(self) -> Checkout:
        prices, rates = self._stack.catalogue.prices, self._stack.catalogue.shipping_rates
        answer = json_http.send_json(
            "POST",
            f"{self._facts.gateway}/api/stripe/initiate-checkout",
            {
                "items": [{"priceId": prices[slug], "quantity": quantity} for slug, quantity in _CART.items()],
                "contact": _BUYER,
                "shippingAddress": _ADDRESS,
                "shippingOptionId": rates[_SHIPPING],
            },
        )
        if answer.status != _HTTP_OK:
            raise DemoFailed(f"the gateway answered {answer.status} to initiate-checkout: {answer.body}")
        body = answer.body
        checkout = Checkout(body["checkoutAttemptId"], body["clientSecret"], body["intentAmount"])
        self._report_step(
            f"A shop asks the gateway for a checkout: {_CART_IN_WORDS}.",
            f"answer   attempt {checkout.attempt_id}, {_dollars(checkout.amount)} to pay, and a client secret",
        )
        return checkout

    def _show_attempt(self, attempts: "redis.Redis", checkout: Checkout) -> None:
        key = _required(self._attempt_key(attempts, checkout), "the attempt is not in Redis")
        days = int(attempts.ttl(key)) // 86_400
        self._report_step(
            "The checkout context was stored before the secret left the gateway.",
            f"Redis    {key}: {attempts.hstrlen(key, 'content')} bytes, kept for up to {days} days",
        )

    def _show_intent(self, checkout: Checkout) -> None:
        intent = self._stripe.v1.payment_intents.retrieve(checkout.intent_id)
        self._report_step(
            "Stripe received an amount and an id, nothing else.",
            f"Stripe   {intent.id}: {intent.amount} {intent.currency}, {intent.status}",
            f"         metadata {json.dumps(intent.metadata.to_dict())}",
        )

    def _pay(self, checkout: Checkout) -> None:
        form = {
            "client_secret": checkout.client_secret,
            "payment_method": _TEST_CARD,
            "return_url": f"{self._facts.gateway}/",
        }
        answer = json_http.send(
            "POST",
            f"{self._facts.stripe_api}/v1/payment_intents/{checkout.intent_id}/confirm",
            data=urlencode(form).encode(),
            headers={
                "Authorization": f"Bearer {self._facts.stripe_publishable_key}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Stripe-Version": stripe.api_version,
            },
        )
        if answer.status != _HTTP_OK:
            raise DemoFailed(f"Stripe answered {answer.status} to the payment: {answer.body}")
        self._report_step(
            "The buyer pays from the browser, with the publishable key, the client secret and a test card.",
            f"Stripe   {checkout.intent_id}: {answer.body['status']}",
        )

    def _order(self, checkout: Checkout) -> dict[str, Any]:
        try:
            return _wait_for(
                _WEBHOOK_SECONDS, lambda: self._recorded_order(checkout), "no order was recorded after the payment"
            )
        except DemoFailed:
            if not self._stack.stripe.is_real:
                raise
            return self._order_by_browser_return(checkout)

    def _order_by_browser_return(self, checkout: Checkout) -> dict[str, Any]:
        """Complete the checkout as a returning browser does, where no webhook can reach this machine."""
        self._report_step("No webhook came; is `stripe listen` running? The browser returns and asks for its order.")
        answer = json_http.send_json(
            "POST",
            f"{self._facts.gateway}/api/orders",
            {"checkoutAttemptId": checkout.attempt_id, "paymentIntentId": checkout.intent_id},
        )
        return _required(
            self._recorded_order(checkout), f"the gateway answered {answer.status} to the browser: {answer.body}"
        )

    def _show_webhook(self, checkout: Checkout, order: dict[str, Any]) -> None:
        event_id = order["stripe_event_id"]
        if not event_id:
            self._report_step(
                f"The payment of {checkout.intent_id} was reported through the channel {order['channel']}."
            )
            return
        event = self._stripe.v1.events.retrieve(event_id)
        self._report_step(
            "Stripe reports the payment to the gateway by a signed webhook.",
            f"Stripe   {event.id}: {event.type} for {checkout.intent_id}",
        )

    def _show_order(self, order: dict[str, Any]) -> None:
        self._report_step(
            "The purchase is recorded in one transaction.",
            f"SQL      order {order['number']}: {order['total_minor']} {order['currency']}, {order['status']},"
            f" {order['pieces']} pieces",
            f"         checkout_attempt_id {order['checkout_attempt_id']}",
        )

    def _show_attempt_gone(self, attempts: "redis.Redis", checkout: Checkout) -> None:
        gone = _wait_for(
            _WEBHOOK_SECONDS,
            lambda: self._attempt_key(attempts, checkout) is None,
            "the attempt is still in Redis after its purchase was recorded",
        )
        tombstones = list(attempts.scan_iter(match=f"*:closed:{checkout.attempt_id}", count=1000))
        self._report_step(
            "The attempt was deleted after its purchase was recorded.",
            f"Redis    content gone: {str(gone).lower()}, tombstones left: {len(tombstones)}",
        )

    def _attempt_key(self, attempts: "redis.Redis", checkout: Checkout) -> str | None:
        keys = attempts.scan_iter(match=f"*:attempt:{checkout.attempt_id}", count=1000)
        return next((key.decode() for key in keys), None)

    def _recorded_order(self, checkout: Checkout) -> dict[str, Any] | None:
        row = self._stack.postgres.run_sql(
            "SELECT row_to_json(found) FROM (SELECT o.number, o.total_minor, o.currency, o.status,"  # noqa: S608 - ours
            " o.checkout_attempt_id, p.channel, p.stripe_event_id,"
            " (SELECT sum(quantity) FROM order_items i WHERE i.order_id = o.id) AS pieces"
            " FROM orders o JOIN payments p ON p.intent_id = o.payment_intent_id"
            f" WHERE o.checkout_attempt_id = '{checkout.attempt_id}') AS found",
            ORDERS_DATABASE,
        )
        return json.loads(row) if row else None

    def _report_step(self, headline: str, *facts: str) -> None:
        self._step += 1
        self._report(f"  {self._step}. {headline}")
        for fact in facts:
            self._report(f"       {fact}")


def _wait_for(seconds: float, find: Callable[[], Found | None], error: str) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > deadline:
            raise DemoFailed(error)
        time.sleep(_POLL_SECONDS)
    return found


def _required(found: Found | None, error: str) -> Found:
    if found is None:
        raise DemoFailed(error)
    return found


def _dollars(minor_units: int) -> str:
    return f"{minor_units // 100}.{minor_units % 100:02d} USD"
