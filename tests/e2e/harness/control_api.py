"""The simulator's control API: webhook rules, faults, the log of requests, and the buyer's and the bank's side."""

from typing import Any

import aiohttp

from .closing import AsyncClosing

_OK = 200


class ControlApi(AsyncClosing):
    """Client of the simulator's control API. Use it in `async with`."""

    def __init__(self, stripe_api: str) -> None:
        self._session = aiohttp.ClientSession(f"{stripe_api}/_simulator/")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def add_webhook_rule(self, **rule: Any) -> None:
        """Change how events are delivered: `types`, `object_id`, `copies`, `hold`, `drop`, `delay_seconds`, `count`."""
        await self._post("webhooks/rules", rule)

    async def webhook_rules_applied(self) -> int:
        """Return how many events the present rules were applied to."""
        return sum(rule["applied"] for rule in (await self._call("GET", "webhooks/rules"))["data"])

    async def clear_webhook_rules(self) -> None:
        """Remove every webhook rule; held deliveries stay held."""
        await self._call("DELETE", "webhooks/rules")

    async def release_deliveries(self, event_id: str | None = None) -> None:
        """Send the held deliveries of all events, or of one."""
        await self._post("webhooks/release", {"event_id": event_id})

    async def redeliver(self, event_id: str, *, copies: int = 1) -> None:
        """Deliver an event again now."""
        await self._post("webhooks/redeliver", {"event_id": event_id, "copies": copies})

    async def deliveries(self, **fields: str) -> list[dict[str, Any]]:
        """Return deliveries, filtered by any of their fields."""
        return list((await self._call("GET", "webhooks/deliveries", params=fields))["data"])

    async def delivery_attempts(self, **fields: str) -> list[dict[str, Any]]:
        """Return finished attempts of deliveries, filtered by any of their fields."""
        return list((await self._call("GET", "webhooks/attempts", params=fields))["data"])

    async def require_health(self) -> None:
        """Raise if a scheduled action of the simulator has failed."""
        await self._call("GET", "health")

    async def until_idle(self, *, seconds: float = 60.0) -> None:
        """Wait until no delivery is pending."""
        await self._call("GET", "webhooks/idle", params={"timeout": str(seconds)})

    async def add_fault(self, **rule: Any) -> str:
        """Add a fault: `kind`, `method`, `path`, `params`, `count`, `skip`, `first_only`, `seconds`; return its id."""
        return str((await self._post("faults", rule))["id"])

    async def fault_hits(self, fault_id: str) -> int:
        """Return how many requests a fault has hit."""
        return int((await self._call("GET", f"faults/{fault_id}"))["hits"])

    async def until_held(self, fault_id: str, *, seconds: float = 20.0) -> None:
        """Wait until a fault holds a request."""
        await self._call("GET", f"faults/{fault_id}/wait", params={"holding": "1", "timeout": str(seconds)})

    async def remove_fault(self, fault_id: str) -> None:
        """Remove one fault; the requests that it holds go on."""
        await self._call("DELETE", f"faults/{fault_id}")

    async def clear_faults(self) -> None:
        """Remove every fault."""
        await self._call("DELETE", "faults")

    async def limit_rates(self, a_second: float | None, of_each_operation: float | None) -> None:
        """Limit the requests of the account and of each operation, as Stripe does; None is no limit."""
        limits = {"requests_per_second": a_second, "operation_requests_per_second": of_each_operation}
        await self._post("rate_limits", limits)

    async def refused_by_rate(self) -> dict[str, int]:
        """Return how many requests were above a limit, by the limit."""
        return dict((await self._call("GET", "rate_limits"))["refused"])

    async def requests(self, method: str, path: str, *, after: int = 0) -> list[dict[str, Any]]:
        """Return the API requests that Stripe received; path is a glob."""
        params = {"method": method, "path": path, "after": str(after)}
        return list((await self._call("GET", "requests", params=params))["data"])

    async def request_count(self) -> int:
        """Return how many API requests Stripe received, as a mark for `requests`."""
        return int((await self._call("GET", "requests", params={"path": "/none"}))["total"])

    async def pay(self, intent_id: str, **payment: Any) -> dict[str, Any]:
        """Pay as a browser does: `payment_method`, `challenge`, `settle`; return the intent's status and the error."""
        kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        return dict(await self._post(f"{kind}/{intent_id}/pay", payment))

    async def pass_challenge(self, intent_id: str, *, succeed: bool = True) -> None:
        """Pass the 3-D Secure challenge of an intent of either kind, or fail it."""
        kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        await self._post(f"{kind}/{intent_id}/challenge", {"succeed": succeed})

    async def let_behave_like(self, payment_method_id: str, test_card: str) -> None:
        """Let a saved payment method behave like another test card from now on."""
        await self._post(f"payment_methods/{payment_method_id}/behave", {"like": test_card})

    async def save_portal_settings(self) -> None:
        """Set the customer portal up, as in the Dashboard."""
        await self._post("portal_settings", {})

    async def settle_debit(self, intent_id: str, *, succeed: bool = True) -> None:
        """Let the bank debit of a processing intent succeed, or fail."""
        await self._post(f"payment_intents/{intent_id}/settle", {"succeed": succeed})

    async def open_dispute(self, intent_id: str, **dispute: Any) -> str:
        """Let the buyer's bank dispute a charge: `amount`, `reason`, `status`; return the dispute's id."""
        return str((await self._post(f"payment_intents/{intent_id}/dispute", dispute))["id"])

    async def move_dispute(self, dispute_id: str, status: str) -> None:
        """Change a dispute's status."""
        await self._post(f"disputes/{dispute_id}/move", {"status": status})

    async def finish_refund(self, refund_id: str, status: str) -> None:
        """Let a refund succeed, fail or be canceled."""
        await self._post(f"refunds/{refund_id}/finish", {"status": status})

    async def advance_clock(self, *, seconds: float = 0.0) -> float:
        """Advance Stripe's clock and return its time; everything due by then has happened when this returns."""
        return float((await self._post("clock/advance", {"seconds": seconds}))["now"])

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        return await self._call("POST", path, json=body)

    async def _call(self, method: str, path: str, **rest: Any) -> Any:
        async with self._session.request(method, path, **rest) as answer:
            body = await answer.json()
            if answer.status != _OK:
                raise AssertionError(f"{method} {path}: {answer.status} {body}")
            return body
