"""The simulator's knobs: what goes wrong at Stripe, and what was sent there."""

from types import TracebackType
from typing import Any, Self

import aiohttp

_HTTP_OK = 200


class Knobs:
    """KeyedLock the simulator's knobs over its `/_simulator` API."""

    def __init__(self, stripe_api: str) -> None:
        self._session = aiohttp.ClientSession(f"{stripe_api}/_simulator/")

    async def __aenter__(self) -> Self:
        """Use it in `async with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._session.close()

    async def deliver(self, **rule: Any) -> None:
        """Treat events as a webhook rule says: `types`, `copies`, `hold`, `drop`, `delay_seconds`, `count`."""
        await self._post("webhooks/rules", rule)

    async def deliver_as_usual(self) -> None:
        """Take every webhook rule away; what is held stays held."""
        await self._call("DELETE", "webhooks/rules")

    async def release_deliveries(self, event_id: str | None = None) -> None:
        """Let held deliveries go, of all events or of one."""
        await self._post("webhooks/release", {"event_id": event_id})

    async def redeliver(self, event_id: str, *, copies: int = 1) -> None:
        """Deliver an event again now."""
        await self._post("webhooks/redeliver", {"event_id": event_id, "copies": copies})

    async def deliveries(self, **fields: str) -> list[dict[str, Any]]:
        """Return deliveries, filtered by any of their fields."""
        return list((await self._call("GET", "webhooks/deliveries", params=fields))["data"])

    async def delivery_attempts(self, **fields: str) -> list[dict[str, Any]]:
        """Return finished tries of deliveries, filtered by any of their fields."""
        return list((await self._call("GET", "webhooks/attempts", params=fields))["data"])

    async def idle(self, *, seconds: float = 60.0) -> None:
        """Wait until no delivery is on its way."""
        await self._call("GET", "webhooks/idle", params={"timeout": str(seconds)})

    async def fault(self, **rule: Any) -> str:
        """Set a fault for API requests: `kind`, `method`, `path`, `count`, `skip`, `first_only`, `seconds`.

        Returns its id.
        """
        return str((await self._post("faults", rule))["id"])

    async def hits(self, fault_id: str) -> int:
        """Return how many requests a fault has hit."""
        return int((await self._call("GET", f"faults/{fault_id}"))["hits"])

    async def held_by(self, fault_id: str, *, seconds: float = 20.0) -> None:
        """Wait until a fault holds a request."""
        await self._call("GET", f"faults/{fault_id}/wait", params={"holding": "1", "timeout": str(seconds)})

    async def remove_fault(self, fault_id: str) -> None:
        """Take one fault away."""
        await self._call("DELETE", f"faults/{fault_id}")

    async def clear_faults(self) -> None:
        """Take every fault away."""
        await self._call("DELETE", "faults")

    async def requests(self, method: str, path: str, *, after: int = 0) -> list[dict[str, Any]]:
        """Return the API requests that were received; path is a glob."""
        params = {"method": method, "path": path, "after": str(after)}
        return list((await self._call("GET", "requests", params=params))["data"])

    async def requests_so_far(self) -> int:
        """Return how many requests were received, as a mark for `requests`."""
        return int((await self._call("GET", "requests", params={"path": "/none"}))["total"])

    async def pay(self, intent_id: str, **payment: Any) -> dict[str, Any]:
        """Pay as a browser would: `payment_method`, `card_number` or `iban`, `challenge`, `settle`."""
        return dict(await self._post(f"payment_intents/{intent_id}/pay", payment))

    async def challenge(self, intent_id: str, *, succeed: bool = True) -> None:
        """Pass or fail the 3-D Secure challenge of an intent of either kind."""
        kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        await self._post(f"{kind}/{intent_id}/challenge", {"succeed": succeed})

    async def behave(self, payment_method_id: str, like: str) -> None:
        """Let a saved payment method behave like another test card from now on."""
        await self._post(f"payment_methods/{payment_method_id}/behave", {"like": like})

    async def pause(self, stripe_subscription_id: str) -> None:
        """Pause a subscription at Stripe."""
        await self._post(f"subscriptions/{stripe_subscription_id}/pause", {})

    async def dispute(self, intent_id: str, **complaint: Any) -> str:
        """Let the buyer's bank dispute a charge: `amount`, `reason`, `status`; return the dispute's id."""
        return str((await self._post(f"payment_intents/{intent_id}/dispute", complaint))["id"])

    async def move_dispute(self, dispute_id: str, status: str) -> None:
        """Move a dispute on, or decide it."""
        await self._post(f"disputes/{dispute_id}/move", {"status": status})

    async def finish_refund(self, refund_id: str, status: str) -> None:
        """Let a refund succeed, fail (even later) or be canceled."""
        await self._post(f"refunds/{refund_id}/finish", {"status": status})

    async def advance(self, *, seconds: float = 0.0) -> float:
        """Move Stripe's clock on and return what it shows; what is due by then happens before this returns."""
        return float((await self._post("clock/advance", {"seconds": seconds}))["now"])

    async def settle(self, intent_id: str, *, succeed: bool = True) -> None:
        """Let the debit of a processing intent arrive or fail."""
        await self._post(f"payment_intents/{intent_id}/settle", {"succeed": succeed})

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        return await self._call("POST", path, json=body)

    async def _call(self, method: str, path: str, **rest: Any) -> Any:
        async with self._session.request(method, path, **rest) as answer:
            body = await answer.json()
            if answer.status != _HTTP_OK:
                raise AssertionError(f"{method} {path}: {answer.status} {body}")
            return body
