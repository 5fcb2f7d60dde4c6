"""Requests that the load generator sends: those of a buyer's browser, and of Stripe's webhooks."""

import hashlib
import hmac
import itertools
import json
import time
import uuid
from typing import Any, Final, Self

import aiohttp
import jwt
import stripe

from bench.job import Attempt, Job

_SECONDS: Final = 60.0
_OK: Final = 200
_TOKEN_SECONDS: Final = 3600


class Buyer:
    """Sends the requests of one job. Use it in `async with`."""

    def __init__(self, job: Job) -> None:
        self.begun: list[Attempt] = []
        """Checkouts that were begun and not paid."""
        self._job = job
        self._gateways = itertools.cycle(job.gateways)
        self._cart = json.dumps(job.cart).encode()
        self._reports = [_report(job, each) for each in job.attempts] if job.kind == "webhook" else []
        kinds = {
            "initiate": self._initiate,
            "webhook": self._webhook,
            "checkout": self._checkout,
            "status": self._status,
            "catalogue": self._catalogue,
        }
        self._send = kinds[job.kind]

    async def __aenter__(self) -> Self:
        """Open the connections."""
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close them."""
        await self._session.close()

    async def send(self, number: int) -> str:
        """Send the request with this number. Return its status, or the name of the exception."""
        try:
            return str(await self._send(number))
        except (aiohttp.ClientError, TimeoutError) as failure:
            return type(failure).__name__

    async def _initiate(self, _number: int) -> int:
        status, _ = await self._begin(self._signed_in())
        return status

    async def _webhook(self, number: int) -> int:
        body = self._reports[number]
        now = int(time.time())
        signed = hmac.new(self._job.webhook_secret.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
        status, _ = await self._post("/api/stripe/webhook", body, {"Stripe-Signature": f"t={now},v1={signed}"})
        return status

    async def _checkout(self, _number: int) -> int:
        """Begin, pay at Stripe, and return to the shop, which answers when the purchase is recorded."""
        signed_in = self._signed_in()
        status, attempt = await self._begin(signed_in)
        if attempt is None:
            return status
        self.begun.remove(attempt)
        await self._pay(attempt)
        body = {"checkoutAttemptId": attempt.attempt_id, "paymentIntentId": attempt.intent_id}
        status, _ = await self._post("/api/orders", json.dumps(body).encode(), signed_in)
        return status

    async def _status(self, number: int) -> int:
        attempt = self._job.attempts[number % len(self._job.attempts)]
        return await self._get(f"/api/checkout/{attempt.attempt_id}")

    async def _catalogue(self, _number: int) -> int:
        return await self._get("/api/catalog")

    def _signed_in(self) -> dict[str, str]:
        """Return the headers of a buyer who was never here before, or none for a guest."""
        if not self._job.jwt_secret:
            return {}
        claims = {"sub": f"buyer-{uuid.uuid4().hex}", "exp": int(time.time()) + _TOKEN_SECONDS}
        return {"Authorization": f"Bearer {jwt.encode(claims, self._job.jwt_secret, algorithm='HS256')}"}

    async def _begin(self, signed_in: dict[str, str]) -> tuple[int, Attempt | None]:
        headers = {"Idempotency-Key": str(uuid.uuid4()), **signed_in}
        status, answer = await self._post("/api/stripe/initiate-checkout", self._cart, headers)
        if status != _OK:
            return status, None
        granted = json.loads(answer)
        attempt = Attempt(granted["checkoutAttemptId"], granted["clientSecret"])
        self.begun.append(attempt)
        return status, attempt

    async def _pay(self, attempt: Attempt) -> None:
        """Confirm the intent with a test card, as Stripe.js does."""
        form = {
            "client_secret": attempt.client_secret,
            "payment_method": "pm_card_visa",
            "return_url": "https://shop.example/return",
        }
        headers = {"Authorization": f"Bearer {self._job.publishable_key}", "Stripe-Version": stripe.api_version}
        url = f"{self._job.stripe_api}/v1/payment_intents/{attempt.intent_id}/confirm"
        async with self._session.post(url, data=form, headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()

    async def _get(self, path: str) -> int:
        async with self._session.get(f"{next(self._gateways)}{path}") as answer:
            await answer.read()
            return answer.status

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        sent = {"Content-Type": "application/json", **headers}
        async with self._session.post(f"{next(self._gateways)}{path}", data=body, headers=sent) as answer:
            return answer.status, await answer.read()


def _report(job: Job, attempt: Attempt) -> bytes:
    """Return the event of another checkout with the ids of this one, as if it were paid now.

    The carts are the same, so the sums are too. An old event would cost the gateway a look at earlier refunds.
    """
    if job.event_of is None:
        raise ValueError("the job has no event to repeat")
    event: dict[str, Any] = json.loads(job.event)
    unique = uuid.uuid4().hex
    text = (
        job.event.replace(job.event_of.intent_id, attempt.intent_id)
        .replace(job.event_of.attempt_id, attempt.attempt_id)
        .replace(str(event["id"]), f"evt_{unique}")
        .replace(str(event["data"]["object"]["latest_charge"]), f"ch_{unique}")
        .replace(f'"created":{event["created"]}', f'"created":{int(time.time())}')
    )
    return text.encode()
