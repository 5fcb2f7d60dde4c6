"""A shop's frontend with its buyer: the requests that a browser sends to the gateway and to Stripe."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import aiohttp
import jwt
import stripe

from .closing import AsyncClosing

GOOD_CARD = "pm_card_visa"
_HTTP_OK = 200
_TOKEN_SECONDS = 3600

CONTACT = {"name": "Ada Example", "email": "ada@example.com", "phone": "+15550100"}
ADDRESS = {"line1": "1 Harbour Street", "city": "Portland", "state": "OR", "postalCode": "97201", "country": "US"}


@dataclass(frozen=True)
class Line:
    """One line of a cart."""

    price_id: str
    quantity: int = 1


@dataclass(frozen=True)
class Cart:
    """A cart with the buyer's contact and address."""

    lines: Sequence[Line]
    contact: Mapping[str, str] = field(default_factory=lambda: CONTACT)
    address: Mapping[str, str] | None = field(default_factory=lambda: ADDRESS)
    shipping_option_id: str | None = None
    supersedes: str | None = None

    def superseding(self, attempt_id: str) -> "Cart":
        """Return this cart as the replacement for an attempt."""
        return replace(self, supersedes=attempt_id)

    def as_body(self) -> dict[str, Any]:
        """Return the JSON that the frontend sends."""
        optional = {
            "shippingAddress": self.address and dict(self.address),
            "shippingOptionId": self.shipping_option_id,
            "supersedes": self.supersedes,
        }
        return {
            "items": [{"priceId": line.price_id, "quantity": line.quantity} for line in self.lines],
            "contact": dict(self.contact),
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    body: Any
    """Decoded JSON; None when the body is not JSON."""
    headers: Mapping[str, str] = field(repr=False)

    @property
    def problem(self) -> str:
        """The problem type without its prefix; empty when the response is no problem."""
        return str(self.body.get("type", "")).removeprefix("urn:holdfast:problem:") if self.body else ""

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names."""
        return [error["field"] for error in (self.body or {}).get("errors", [])]

    def ok(self) -> Any:
        """Return the body; raise AssertionError with it unless the status is 200."""
        if self.status != _HTTP_OK:
            raise AssertionError(f"{self.status}: {self.body}")
        return self.body


@dataclass(frozen=True)
class Checkout:
    """A granted checkout, as the frontend holds it."""

    attempt_id: str
    client_secret: str = field(repr=False)
    amount: int
    """In minor units."""
    currency: str

    @property
    def intent_id(self) -> str:
        """The intent's id, which begins every client secret."""
        return self.client_secret.partition("_secret_")[0]

    @property
    def sets_up(self) -> bool:
        """True for a SetupIntent: nothing is charged now."""
        return self.intent_id.startswith("seti_")


class Shop(AsyncClosing):
    """Frontend of one user, or of a guest, at one gateway. Use it in `async with`.

    `observe` is called with the bytes and headers of every response of the gateway.
    """

    def __init__(
        self,
        *,
        gateway: str,
        stripe_api: str,
        publishable_key: str,
        jwt_secret: str,
        user_id: str | None = None,
        observe: Callable[[int, bytes, Mapping[str, str]], None] | None = None,
    ) -> None:
        self.gateway = gateway
        self.user_id = user_id
        self._stripe_api = stripe_api
        self._publishable_key = publishable_key
        self._jwt_secret = jwt_secret
        self._observe = observe
        self.session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60),
            # Below the gateway's 75 s: a request sent while the gateway closes an idle connection would be lost.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1.0),
            # UTF-8 without escapes, like a browser.
            json_serialize=partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()

    def token(self, user_id: str, **claims: object) -> str:
        """Return a user token, as the shop's sign-in issues it; `claims` override the usual ones."""
        known = {"sub": user_id, "exp": int(time.time()) + _TOKEN_SECONDS}
        return jwt.encode({**known, **claims}, self._jwt_secret, algorithm="HS256")

    async def initiate(
        self, cart: Cart, *, idempotency_key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """POST initiate-checkout."""
        keyed = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return await self.request(
            "POST", "/api/stripe/initiate-checkout", json=cart.as_body(), headers={**keyed, **(headers or {})}
        )

    async def checkout(self, cart: Cart, *, idempotency_key: str | None = None) -> Checkout:
        """Initiate a checkout that must be granted."""
        return self.granted(await self.initiate(cart, idempotency_key=idempotency_key))

    def granted(self, reply: Reply) -> Checkout:
        """Return the checkout of a successful initiate."""
        body = reply.ok()
        return Checkout(body["checkoutAttemptId"], body["clientSecret"], body["intentAmount"], body["currency"])

    async def pay(self, checkout: Checkout, *, payment_method: str = GOOD_CARD) -> Reply:
        """Confirm a checkout's intent at Stripe with the publishable key and the client secret."""
        return await self.confirm(checkout.client_secret, payment_method=payment_method)

    async def confirm(self, client_secret: str, *, payment_method: str = GOOD_CARD) -> Reply:
        """Confirm the intent of a client secret, like Stripe.js."""
        form = {
            "client_secret": client_secret,
            "payment_method": payment_method,
            "return_url": "https://shop.example/return",
        }
        headers = {"Authorization": f"Bearer {self._publishable_key}", "Stripe-Version": stripe.api_version}
        intent_id = client_secret.partition("_secret_")[0]
        kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        url = f"{self._stripe_api}/v1/{kind}/{intent_id}/confirm"
        async with self.session.post(url, data=form, headers=headers) as answer:
            return await _reply(answer)

    async def complete(self, checkout: Checkout, *, headers: Mapping[str, str] | None = None) -> Reply:
        """POST orders, like a browser that returns from Stripe."""
        intent = "setupIntentId" if checkout.sets_up else "paymentIntentId"
        body = {"checkoutAttemptId": checkout.attempt_id, intent: checkout.intent_id}
        return await self.request("POST", "/api/orders", json=body, headers=headers)

    async def status(self, attempt_id: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """GET a checkout's status."""
        return await self.request("GET", f"/api/checkout/{attempt_id}", headers=headers)

    async def orders(self, **query: str) -> Reply:
        """GET one page of the user's orders."""
        return await self.request("GET", "/api/orders", params=query)

    async def all_orders(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """GET all of the user's orders, page by page."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(limit)}
        while True:
            page = (await self.orders(**query)).ok()
            found += page["orders"]
            if not page["nextCursor"]:
                return found
            query["cursor"] = page["nextCursor"]

    async def order(self, order_id: str) -> Reply:
        """GET one order."""
        return await self.request("GET", f"/api/orders/{order_id}")

    async def subscriptions(self, **query: str) -> Reply:
        """GET one page of the user's subscriptions."""
        return await self.request("GET", "/api/subscriptions", params=query)

    async def subscription(self, subscription_id: str) -> Reply:
        """GET one subscription."""
        return await self.request("GET", f"/api/subscriptions/{subscription_id}")

    async def cancel_subscription(self, subscription_id: str, mode: str | None = None) -> Reply:
        """Cancel a subscription: `at_period_end`, `now` or `undo`; None sends no mode."""
        body = {} if mode is None else {"mode": mode}
        return await self.request("POST", f"/api/subscriptions/{subscription_id}/cancel", json=body)

    async def open_portal(self, subscription_id: str) -> Reply:
        """Open Stripe's customer portal."""
        return await self.request("POST", f"/api/subscriptions/{subscription_id}/portal", json={})

    async def catalogue(self) -> Reply:
        """GET the catalogue."""
        return await self.request("GET", "/api/catalog")

    async def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any) -> Reply:
        """Send a request to the gateway, signed in if the shop has a user; `headers` override."""
        signed_in = {} if self.user_id is None else {"Authorization": f"Bearer {self.token(self.user_id)}"}
        all_headers = {**signed_in, **(headers or {})}
        async with self.session.request(method, f"{self.gateway}{path}", headers=all_headers, **rest) as answer:
            if self._observe is not None:
                self._observe(answer.status, await answer.read(), answer.headers)
            return await _reply(answer)


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    return Reply(answer.status, body, answer.headers)
