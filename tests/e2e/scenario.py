"""The base of all scenarios, and the state by which they are judged."""

import json
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import aiohttp
import stripe

from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Cart, Checkout, Reply, Shop
from .harness.system import System

Calls = tuple[OutgoingCall, ...]

MEMBER: Final = "user-member"
"""The user whose orders show refunds and disputes."""
CONFLICT: Final = 409
_OK: Final = 200
_MUG: Final = 1800
_SHIPPING: Final = 500
_PAYABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


@dataclass(frozen=True)
class ExpectedState:
    """The state of a scenario's attempts."""

    payable: int = 0
    """Intents at Stripe that can still be paid."""
    released: int = 0
    """The payable intents whose secret was given to a client. Never more than one (P2)."""
    attempts: int = 0
    """Attempts with content in the attempt store."""
    orders: int = 0
    quarantined: int = 0
    refunded: int = 0
    """Minor units that the order shows; the same holds for disputed."""
    disputed: int = 0


@dataclass(frozen=True)
class Environment:
    """The system that a scenario runs on. Stripe delivers no events there: scenarios report them."""

    system: System
    control_api: ControlApi
    shop: Shop
    """A guest's, at the gateway that scenarios are prepared and repeated at."""


class Scenario(ABC):
    """One request to a gateway, the state before it, the calls that it makes, and the way to recover from a failure.

    Each scenario has a request id of its own, and a cart whose sum `number` decides, so that faults can tell it from
    others that run beside it.
    """

    calls: ClassVar[Calls]
    """The outgoing calls of the request, in order, when nothing fails."""
    status: ClassVar[int] = _OK
    """The HTTP status when nothing fails."""
    leaves: ClassVar[ExpectedState] = ExpectedState(orders=1)
    """The state after the request when nothing fails."""
    quarantine_reason: ClassVar[str | None] = None
    """The reason why the payment is quarantined; None where it becomes a purchase."""
    quarantined_content: ClassVar[bool] = False
    """True if the attempt's content is quarantined with the payment."""
    event_age_seconds: ClassVar[int] = 0
    """The age of every event when it is delivered."""
    user_id: str | None = None
    """The signed-in user; None for a guest."""
    retired: Checkout | None = None
    """A granted checkout that must not be payable any more."""

    def __init__(self, environment: Environment, number: int = 1) -> None:
        self.environment = environment
        self.system, self.shop = environment.system, environment.shop
        self.control_api, self.stripe = environment.control_api, environment.system.stripe.v1
        self.request_id = uuid.uuid4().hex
        self.key = str(uuid.uuid4())
        self.cart = self.system.cart(mug=number)
        self.amount = number * _MUG + _SHIPPING
        self.secrets: set[str] = set()
        """Every client secret that a client was given."""
        self.attempt_ids: set[str] = set()
        self.granted: Checkout | None = None

    @property
    def checkout(self) -> Checkout:
        """The checkout that was granted last; it is paid in the end."""
        if self.granted is None:
            raise LookupError("no checkout was granted")
        return self.granted

    @property
    def ends(self) -> ExpectedState:
        """The state after recovery: one purchase or one quarantined payment, no content, nothing payable."""
        return replace(self.leaves, payable=0, released=0, attempts=0, orders=1 - self.leaves.quarantined)

    async def prepare(self) -> None:
        """Arrange the state before the request, under another request id."""
        await self.arrange()
        self.request_id = uuid.uuid4().hex

    async def arrange(self) -> None:  # noqa: B027 - some scenarios begin with nothing
        """Bring about the state before the request."""

    @abstractmethod
    async def act(self, door: Shop) -> Reply:
        """Send the request to a gateway."""

    async def recover(self) -> None:
        """Repeat the request, as a buyer or Stripe does after a failure, and go on to the purchase."""
        (await self.act(self.shop)).ok()

    async def status_of_act(self) -> int | None:
        """Send the request; return its status, or None if the connection breaks."""
        try:
            return (await self.act(self.shop)).status
        except aiohttp.ClientError:
            return None

    def stripe_filter(self, call: OutgoingCall) -> dict[str, Any]:
        """Return method, path and parameters that distinguish this scenario's request to Stripe."""
        method, _, path = call.partition(" ")
        params = {"amount": str(self.amount)} if call is OutgoingCall.CREATE_INTENT else {}
        path = path.replace("{id}", self.stripe_id(call)) if "{id}" in path else path
        return {"method": method, "path": path, "params": params}

    def stripe_id(self, _call: OutgoingCall) -> str:
        """Return the id in the path of a request to Stripe."""
        return self.checkout.intent_id

    async def request(self, door: Shop, method: str, path: str, **rest: Any) -> Reply:
        """Send a request of this scenario's user, with its request id."""
        signed_in = {} if self.user_id is None else {"Authorization": f"Bearer {door.token(self.user_id)}"}
        headers = {"X-Request-Id": self.request_id, **signed_in, **rest.pop("headers", {})}
        return await door.request(method, path, headers=headers, **rest)

    async def initiate(self, door: Shop, cart: Cart, key: str) -> Reply:
        """Initiate a checkout, and note its id and secret if it is granted."""
        headers = {"Idempotency-Key": key}
        reply = await self.request(door, "POST", "/api/stripe/initiate-checkout", json=cart.as_body(), headers=headers)
        if reply.body and "clientSecret" in reply.body:
            self.granted = door.granted(reply)
            self.secrets.add(self.granted.client_secret)
            self.attempt_ids.add(self.granted.attempt_id)
        return reply

    async def begin(self) -> Checkout:
        """Initiate the scenario's checkout, which must be granted."""
        (await self.initiate(self.shop, self.cart, self.key)).ok()
        return self.checkout

    async def begin_with_other_key(self, cart: Cart) -> Checkout:
        """Initiate a checkout with a fresh key, which must be granted."""
        (await self.initiate(self.shop, cart, str(uuid.uuid4()))).ok()
        return self.checkout

    async def complete(self, door: Shop) -> Reply:
        """Complete the checkout, like a browser that returns from Stripe."""
        intent = "setupIntentId" if self.checkout.sets_up else "paymentIntentId"
        body = {"checkoutAttemptId": self.checkout.attempt_id, intent: self.checkout.intent_id}
        return await self.request(door, "POST", "/api/orders", json=body)

    async def read_status(self, door: Shop) -> Reply:
        """Read the checkout's status."""
        return await self.request(door, "GET", f"/api/checkout/{self.checkout.attempt_id}")

    async def pay(self) -> None:
        """Pay the checkout, or set up its payment method."""
        (await self.shop.pay(self.checkout)).ok()

    async def pay_and_return(self) -> None:
        """Pay the checkout; Stripe reports it and the browser returns. A retired checkout must refuse to be paid."""
        if self.retired and (reply := await self.shop.pay(self.retired)).status == _OK:
            raise AssertionError(f"a superseded checkout was paid: {reply.body}")
        await self.pay()
        await self.report_payment()

    async def report_payment(self) -> None:
        """Report the payment as Stripe does, and complete the checkout; both must succeed."""
        kind = "setup_intent" if self.checkout.sets_up else "payment_intent"
        (await self.deliver(self.shop, f"{kind}.succeeded", await self.intent())).ok()
        (await self.complete(self.shop)).ok()

    async def intent(self) -> dict[str, Any]:
        """Return the checkout's intent as Stripe shows it."""
        intents = self.stripe.setup_intents if self.checkout.sets_up else self.stripe.payment_intents
        return (await intents.retrieve_async(self.checkout.intent_id)).to_dict()

    async def deliver(self, door: Shop, event_type: str, subject: Mapping[str, Any]) -> Reply:
        """Deliver an event with Stripe's signature; a repeat has the same event id."""
        event_id = f"evt_{uuid.uuid5(uuid.NAMESPACE_URL, event_type + subject['id']).hex}"
        event = {
            "id": event_id,
            "object": "event",
            "api_version": stripe.api_version,
            "type": event_type,
            "created": int(time.time()) - self.event_age_seconds,
            "data": {"object": subject},
        }
        body = json.dumps(event, default=str)
        secret = self.system.backend.addresses.webhook_secret
        headers = {
            "Content-Type": "application/json",
            "Stripe-Signature": stripe.WebhookSignature.generate_signature_header(body, secret),
            "X-Request-Id": self.request_id,
        }
        return await door.request("POST", "/api/stripe/webhook", data=body.encode(), headers=headers)


@dataclass(frozen=True)
class Snapshot:
    """The state of the whole system at one moment."""

    payable: Mapping[str, list[str]]
    """Ids of the payable intents, by attempt id."""
    contents: frozenset[str]
    """Ids of the attempts with content."""
    orders: Counter[str]
    """Numbers of orders by attempt id; the same holds for quarantined."""
    quarantined: Counter[str]
    member_orders: Mapping[str, Mapping[str, Any]]
    """The member's orders as the gateway shows them, by attempt id."""

    def state_of(self, scenario: Scenario, released: Iterable[str] | None = None) -> ExpectedState:
        """Return a scenario's state, given the secrets that were released; by default all of its secrets."""
        ids = scenario.attempt_ids
        secrets = scenario.secrets if released is None else released
        payable = {intent_id for attempt_id in ids for intent_id in self.payable.get(attempt_id, [])}
        return ExpectedState(
            payable=len(payable),
            released=len(payable & {secret.partition("_secret_")[0] for secret in secrets}),
            attempts=len(ids & self.contents),
            orders=sum(self.orders[attempt_id] for attempt_id in ids),
            quarantined=sum(self.quarantined[attempt_id] for attempt_id in ids),
            refunded=self._sum_shown(ids, "refundedAmount"),
            disputed=self._sum_shown(ids, "disputedAmount"),
        )

    def _sum_shown(self, attempt_ids: Iterable[str], name: str) -> int:
        return sum(self.member_orders.get(attempt_id, {}).get(name) or 0 for attempt_id in attempt_ids)


async def take_snapshot(system: System) -> Snapshot:
    """Read the state of the whole system."""
    payable: dict[str, list[str]] = {}
    for intents in (system.stripe.v1.payment_intents, system.stripe.v1.setup_intents):
        listed: Any = await intents.list_async({"limit": 100})
        async for intent in listed.auto_paging_iter():
            attempt_id = intent.to_dict()["metadata"].get("checkoutAttemptId")
            if intent.status in _PAYABLE and attempt_id:  # Stripe's own intents of invoices name none
                payable.setdefault(attempt_id, []).append(intent.id)
    orders = await system.orders_db.rows("SELECT checkout_attempt_id::text AS id FROM orders")
    async with system.shop(user_id=MEMBER) as member:
        shown = await member.all_orders()
    return Snapshot(
        payable=payable,
        contents=frozenset(key.rpartition(":")[2] for key in await system.attempt_store.content_keys()),
        orders=Counter(str(row["id"]) for row in orders),
        quarantined=Counter(str(row["attempt_id"]) for row in await system.orders_db.quarantined()),
        member_orders={order["checkoutAttemptId"]: order for order in shown},
    )
