"""Sender of webhooks: signs deliveries, makes them concurrently, and retries each until a 2xx response."""

import asyncio
import logging
import time
from typing import Final

import aiohttp
from pydantic_core import to_json

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.webhook_endpoints import COLLECTION, disable, signing_secret, subscribed
from stripe_simulator.settings import WebhookSettings
from stripe_simulator.webhooks.api_versions import render_event
from stripe_simulator.webhooks.deliveries import Attempt, Delivery, DeliveryLog, DeliveryState
from stripe_simulator.webhooks.retries import LIVE_RETRIES, SANDBOX_RETRIES, FailingEndpoints
from stripe_simulator.webhooks.rules import DELIVER_ONCE, DeliveryRule, DeliveryRules
from stripe_simulator.webhooks.signing import signature_header

_log = logging.getLogger("stripe_simulator")

_SUCCESS: Final = range(200, 300)
_USER_AGENT: Final = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


class WebhookSender:
    """Delivers the events of one account, subject to its rules."""

    def __init__(self, account: Account, settings: WebhookSettings, session: aiohttp.ClientSession) -> None:
        self.rules = DeliveryRules()
        self.log = DeliveryLog()
        self._account = account
        self._settings = settings
        self._session = session
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._due = 0
        self._none_due = asyncio.Event()
        self._none_due.set()
        self._created = 0
        self._schedule = LIVE_RETRIES if account.livemode else SANDBOX_RETRIES
        self._failing = FailingEndpoints()

    def dispatch(self, event: StripeObject) -> None:
        """Start the deliveries of a new event to all subscribed endpoints."""
        endpoints = [each["id"] for each in subscribed(self._account, event["type"])]
        rule = self.rules.for_event(event)
        self._deliver_to(endpoints, event, rule, rule.copies)

    def redeliver(self, event: StripeObject, endpoint_id: str | None = None, copies: int = 1) -> list[Delivery]:
        """Deliver an event again, to one endpoint or to all subscribed ones. Rules do not apply."""
        endpoints = [each["id"] for each in subscribed(self._account, event["type"])]
        return self._deliver_to([endpoint_id] if endpoint_id else endpoints, event, DELIVER_ONCE, copies)

    def release(self, event_id: str | None = None, event_type: str | None = None) -> list[Delivery]:
        """Start held deliveries, in the order of their events."""
        released = self.log.deliveries(state=DeliveryState.HELD, event_id=event_id, event_type=event_type)
        for delivery in released:
            self._start(delivery)
        return released

    async def wait_until_idle(self) -> None:
        """Wait until no delivery is in progress or waiting for a quick retry.

        Held ones do not count, nor those that wait for a retry on the simulated clock.
        """
        await self._idle.wait()

    async def wait_until_sent(self) -> None:
        """Wait until no attempt is due or in progress. Deliveries that wait for a retry or a rule do not count."""
        await self._none_due.wait()

    def acknowledged_at(self, event: StripeObject) -> float | None:
        """Return the simulated time since when every endpoint has acknowledged an event, or None.

        An event that no endpoint listens to counts as acknowledged when it is created.
        """
        by_endpoint: dict[str, list[float]] = {}
        for delivery in self.log.of_event(event["id"]):
            known = by_endpoint.setdefault(delivery.endpoint_id, [])
            known += [] if delivery.acknowledged_at is None else [delivery.acknowledged_at]
        if not all(by_endpoint.values()):
            return None
        return max((min(moments) for moments in by_endpoint.values()), default=event["created"])

    async def stop(self) -> None:
        """Abandon all deliveries."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _deliver_to(
        self, endpoint_ids: list[str], event: StripeObject, rule: DeliveryRule, copies: int
    ) -> list[Delivery]:
        sent = event | {"pending_webhooks": len(endpoint_ids)}
        deliveries = [
            self._new_delivery(event, endpoint_id, self._body(sent, endpoint_id), copy)
            for endpoint_id in endpoint_ids
            for copy in range(copies)
        ]
        for delivery in deliveries:
            self._begin(delivery, rule)
        return deliveries

    def _body(self, event: StripeObject, endpoint_id: str) -> bytes:
        """Render the event in the endpoint's API version, by default the account's.

        Indented, as Stripe sends it: a receiver that verifies a re-serialised body instead of the bytes fails.
        """
        endpoint = self._account[COLLECTION].find(endpoint_id)
        version = endpoint["api_version"] if endpoint else None
        return to_json(render_event(event, version) if version else event, indent=2)

    def _new_delivery(self, event: StripeObject, endpoint_id: str, body: bytes, copy: int) -> Delivery:
        self._created += 1
        return Delivery(
            id=f"delivery_{self._created}",
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
        elif rule.hold:
            self.log.move(delivery, DeliveryState.HELD)
        else:
            self._start(delivery, rule.delay_seconds)

    def _start(self, delivery: Delivery, delay_seconds: float = 0.0) -> None:
        self.log.move(delivery, DeliveryState.PENDING)
        task = asyncio.get_running_loop().create_task(self._deliver(delivery, delay_seconds))
        self._tasks.add(task)
        self._idle.clear()
        self._count_due(1)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._count_due(-1)
        if not self._tasks:
            self._idle.set()

    async def _deliver(self, delivery: Delivery, delay_seconds: float) -> None:
        """Send until a 2xx response, or until the attempts are used up."""
        if delay_seconds:
            await self._pause(delay_seconds)
        quick = self._settings.quick_retries
        if quick is None:
            await self._deliver_on_schedule(delivery)
            return
        while not await self._succeeds(delivery):
            if delivery.attempts >= quick.max_attempts or not self._receives(delivery.endpoint_id):
                self.log.move(delivery, DeliveryState.FAILED)
                return
            await self._pause(quick.backoff_seconds(delivery.attempts))

    async def _deliver_on_schedule(self, delivery: Delivery) -> None:
        """Send once, and come back at the next moment of Stripe's schedule."""
        if delivery.attempts and not self._receives(delivery.endpoint_id):
            self.log.move(delivery, DeliveryState.FAILED)
            return
        if await self._succeeds(delivery):
            self._failing.succeeded(delivery.endpoint_id)
            return
        now = self._account.clock.now()
        if delivery.first_failed_at is None:
            delivery.first_failed_at = now
        if self._failing.failed(delivery.endpoint_id, now):
            self._disable(delivery.endpoint_id)
        if delivery.attempts > len(self._schedule):
            self.log.move(delivery, DeliveryState.FAILED)
            return
        retry_at = delivery.first_failed_at + self._schedule[delivery.attempts - 1]
        self._account.scheduler.add_at(retry_at, lambda: self._start(delivery))

    def _disable(self, endpoint_id: str) -> None:
        endpoint = self._account[COLLECTION].find(endpoint_id)
        if endpoint is not None:
            _log.warning("a webhook endpoint was disabled, because it failed for nine days")
            disable(self._account, endpoint)

    async def _succeeds(self, delivery: Delivery) -> bool:
        attempt = await self._attempt(delivery)
        if attempt.status not in _SUCCESS:
            return False
        delivery.acknowledged_at = self._account.clock.now()
        self.log.move(delivery, DeliveryState.DELIVERED)
        return True

    async def _pause(self, seconds: float) -> None:
        self._count_due(-1)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._count_due(1)

    def _count_due(self, change: int) -> None:
        self._due += change
        if self._due:
            self._none_due.clear()
        else:
            self._none_due.set()

    def _receives(self, endpoint_id: str) -> bool:
        """Return false for an endpoint that was deleted or is disabled: then nothing is retried."""
        endpoint = self._account[COLLECTION].find(endpoint_id)
        return endpoint is not None and endpoint["status"] == "enabled"

    async def _attempt(self, delivery: Delivery) -> Attempt:
        async with self._slots:
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
        self.log.add_attempt(attempt)
        return attempt

    async def _post(self, delivery: Delivery) -> tuple[int | None, str | None]:
        endpoint = self._account[COLLECTION].find(delivery.endpoint_id)
        if endpoint is None:
            return None, "EndpointDeleted"
        # Receivers compare the timestamp with real time, so signatures ignore the simulated clock.
        signature = signature_header(
            delivery.body, signing_secret(self._account, delivery.endpoint_id), int(time.time())
        )
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature,
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
