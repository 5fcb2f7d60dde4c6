"""Carries events to webhook endpoints: signed, concurrently, again and again until a 2xx answer."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp
from pydantic_core import to_json

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.webhook_endpoints import COLLECTION, active_secrets, subscribed
from stripe_simulator.settings import WebhookSettings
from stripe_simulator.webhooks.deliveries import Attempt, Delivery, DeliveryLog, DeliveryState
from stripe_simulator.webhooks.rules import DELIVER_ONCE, DeliveryRule, DeliveryRules
from stripe_simulator.webhooks.signing import signature_header

_SUCCESS = range(200, 300)
_USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


class WebhookSender:
    """Makes the deliveries of one account, as its rules say."""

    def __init__(self, account: Account, settings: WebhookSettings, session: aiohttp.ClientSession) -> None:
        self.rules = DeliveryRules()
        self.log = DeliveryLog()
        self._account = account
        self._settings = settings
        self._session = session
        self._places = asyncio.Semaphore(settings.concurrency)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_reverse: list[Delivery] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._made = 0

    def dispatch(self, event: StripeObject) -> None:
        """Begin the deliveries of a new event."""
        rule = self.rules.for_event(event)
        endpoints = list(subscribed(self._account, event["type"]))
        body = _body(event, pending=len(endpoints))
        for endpoint in endpoints:
            for copy in range(rule.copies):
                self._begin(self._delivery(event, endpoint["id"], body, copy), rule)

    def redeliver(self, event: StripeObject, endpoint_id: str | None = None, copies: int = 1) -> list[Delivery]:
        """Deliver an event again now, whatever the rules say; to one endpoint or to all that want it."""
        endpoints = [each["id"] for each in subscribed(self._account, event["type"])]
        body = _body(event, pending=len(endpoints))
        made = [
            self._delivery(event, target, body, copy)
            for target in ([endpoint_id] if endpoint_id else endpoints)
            for copy in range(copies)
        ]
        for delivery in made:
            self._begin(delivery, DELIVER_ONCE)
        return made

    def release(self, event_id: str | None = None, event_type: str | None = None) -> list[Delivery]:
        """Let held deliveries go, in the order in which their events happened."""
        released = self.log.deliveries(state=DeliveryState.HELD.value, event_id=event_id, event_type=event_type)
        self._to_reverse = [each for each in self._to_reverse if each not in released]
        for delivery in released:
            self._start(delivery)
        return released

    async def wait_until_idle(self) -> None:
        """Wait until no delivery is on its way or waiting for its next try. Held ones do not count."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Give up everything that is on its way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _delivery(self, event: StripeObject, endpoint_id: str, body: bytes, copy: int) -> Delivery:
        self._made += 1
        return Delivery(
            id=f"delivery_{self._made}",
            event_id=event["id"],
            event_type=event["type"],
            object_id=event["data"]["object"].get("id"),
            endpoint_id=endpoint_id,
            copy=copy,
            body=body,
        )

    def _begin(self, delivery: Delivery, rule: DeliveryRule) -> None:
        self.log.add(delivery)
        if rule.drop:
            self.log.move(delivery, DeliveryState.DROPPED)
        elif rule.reverse:
            self._collect(delivery, rule.reverse)
        elif rule.hold:
            self.log.move(delivery, DeliveryState.HELD)
        else:
            self._start(delivery, rule.delay_seconds)

    def _collect(self, delivery: Delivery, size: int) -> None:
        self.log.move(delivery, DeliveryState.HELD)
        self._to_reverse.append(delivery)
        if len(self._to_reverse) >= size:
            collected, self._to_reverse = self._to_reverse[::-1], []
            for each in collected:
                self.log.move(each, DeliveryState.PENDING)
            self._spawn(self._one_after_the_other(collected))

    async def _one_after_the_other(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            await self._deliver(delivery, 0.0)

    def _start(self, delivery: Delivery, delay_seconds: float = 0.0) -> None:
        self.log.move(delivery, DeliveryState.PENDING)
        self._spawn(self._deliver(delivery, delay_seconds))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self._idle.clear()
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    async def _deliver(self, delivery: Delivery, delay_seconds: float) -> None:
        """Try until a 2xx answer or until there have been enough tries."""
        if delay_seconds:
            await asyncio.sleep(delay_seconds)
        while True:
            attempt = await self._attempt(delivery)
            if attempt.status in _SUCCESS:
                self.log.move(delivery, DeliveryState.DELIVERED)
                return
            if delivery.attempts >= self._settings.max_attempts or not self._still_wanted(delivery):
                self.log.move(delivery, DeliveryState.FAILED)
                return
            await asyncio.sleep(self._settings.backoff_seconds(delivery.attempts))

    def _still_wanted(self, delivery: Delivery) -> bool:
        endpoint = self._account[COLLECTION].find(delivery.endpoint_id)
        return endpoint is not None and endpoint["status"] == "enabled"

    async def _attempt(self, delivery: Delivery) -> Attempt:
        async with self._places:
            delivery.attempts += 1
            started_at, started = time.time(), time.monotonic()
            status, error = await self._post(delivery)
            attempt = Attempt(
                delivery_id=delivery.id,
                event_id=delivery.event_id,
                event_type=delivery.event_type,
                object_id=delivery.object_id,
                endpoint_id=delivery.endpoint_id,
                copy=delivery.copy,
                number=delivery.attempts,
                started_at=started_at,
                finished_at=time.time(),
                started_monotonic=started,
                finished_monotonic=time.monotonic(),
                status=status,
                error=error,
            )
        self.log.note(attempt)
        return attempt

    async def _post(self, delivery: Delivery) -> tuple[int | None, str | None]:
        endpoint = self._account[COLLECTION].find(delivery.endpoint_id)
        if endpoint is None:
            return None, "EndpointDeleted"
        # Receivers compare the timestamp with real time, so signing does not follow the simulated clock.
        secrets = active_secrets(self._account, delivery.endpoint_id)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature_header(delivery.body, secrets, int(time.time())),
            "User-Agent": _USER_AGENT,
        }
        try:
            async with self._session.post(
                endpoint["url"], data=delivery.body, headers=headers, allow_redirects=False, timeout=self._timeout
            ) as response:
                await response.read()
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return None, type(error).__name__


def _body(event: StripeObject, pending: int) -> bytes:
    """Write the event indented, as Stripe does: who verifies a re-serialised body instead of the bytes will fail."""
    return to_json(event | {"pending_webhooks": pending}, indent=2)
