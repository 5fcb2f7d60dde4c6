"""Control API under `/_simulator/`: tests inject faults, act as buyers and banks, and inspect what was received.

It needs no key, since the simulator listens on loopback.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from stripe_simulator import bank, buyer, portal_page, timeline
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.billing import lifecycle
from stripe_simulator.billing.objects import ENDED, SUBSCRIPTIONS
from stripe_simulator.faults import FaultRule
from stripe_simulator.rate_limits import RateLimits
from stripe_simulator.registry import RESOURCES
from stripe_simulator.resources import billing_portal
from stripe_simulator.restricted_keys import Permission, permission_names
from stripe_simulator.scheduler import ScheduledActionsFailed
from stripe_simulator.webhooks.rules import DeliveryRule

if TYPE_CHECKING:
    from stripe_simulator.simulator import Simulator
    from stripe_simulator.state import State

_MAX_WAIT_SECONDS: Final = 300.0
_Body = TypeVar("_Body", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.Response]]


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)


class _Redelivery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event_id: str
    endpoint_id: str | None = None
    copies: int = Field(default=1, ge=1, le=100)


class _Release(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event_id: str | None = None
    event_type: str | None = None


class _RateLimits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    requests_per_second: float | None = Field(gt=0)
    operation_requests_per_second: float | None = Field(gt=0)


class _RestrictedKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(default="rk_test_simulator", pattern="^rk_(test|live)_.")
    permissions: dict[str, Permission]


class _Outcome(BaseModel):
    model_config = ConfigDict(extra="forbid")

    succeed: bool = True


def control_routes(simulator: "Simulator") -> list[web.RouteDef]:
    """Return the routes of the control API."""
    control = ControlApi(simulator)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/health", control.health),
        ("POST", "/reset", control.reset),
        ("POST", "/clock/advance", control.advance_clock),
        ("GET", "/requests", control.requests),
        ("GET", "/rate_limits", control.rate_limits),
        ("POST", "/rate_limits", control.set_rate_limits),
        ("POST", "/restricted_keys", control.restrict_key),
        ("DELETE", "/restricted_keys/{key}", control.revoke_key),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/faults/{id}", control.fault),
        ("DELETE", "/faults/{id}", control.remove_fault),
        ("POST", "/faults/{id}/release", control.release_fault),
        ("GET", "/faults/{id}/wait", control.wait_for_held),
        ("POST", "/webhooks/rules", control.add_rule),
        ("GET", "/webhooks/rules", control.rules),
        ("DELETE", "/webhooks/rules", control.clear_rules),
        ("GET", "/webhooks/deliveries", control.deliveries),
        ("GET", "/webhooks/attempts", control.attempts),
        ("POST", "/webhooks/release", control.release_deliveries),
        ("POST", "/webhooks/redeliver", control.redeliver),
        ("GET", "/webhooks/idle", control.wait_until_idle),
        ("POST", "/payment_intents/{id}/pay", control.pay),
        ("POST", "/payment_intents/{id}/challenge", control.challenge),
        ("POST", "/payment_intents/{id}/settle", control.settle),
        ("POST", "/payment_intents/{id}/dispute", control.open_dispute),
        ("POST", "/setup_intents/{id}/pay", control.pay),
        ("POST", "/setup_intents/{id}/challenge", control.challenge),
        ("POST", "/disputes/{id}/move", control.move_dispute),
        ("POST", "/refunds/{id}/finish", control.finish_refund),
        ("POST", "/payment_methods/{id}/behave", control.change_behaviour),
        ("POST", "/subscriptions/{id}/pause", control.pause_subscription),
        ("POST", "/portal_settings", control.save_portal_settings),
        ("GET", "/portal/{token}", control.portal),
        ("POST", "/portal/{token}", control.act_in_portal),
        ("GET", "/challenges/{id}", control.challenge_page),
        ("POST", "/challenges/{id}", control.answer_challenge),
        ("*", "/{rest:.*}", control.unknown),
    ]
    return [web.route(method, f"/_simulator{path}", _with_errors(handler)) for method, path, handler in routes]


def _with_errors(handler: Handler) -> Handler:
    """Map exceptions to responses: 422 for an invalid body, 404 for an unknown id, 500 for a failed action."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (ValidationError, ValueError) as error:
            return _json({"error": str(error)}, 422)
        except KeyError as error:
            return _json({"error": f"There is no {error}."}, 404)
        except ApiError as error:
            return _json(error.envelope(), error.status)
        except ScheduledActionsFailed as error:
            return _json({"error": f"Scheduled actions failed: {error}"}, 500)

    return handle


class ControlApi:
    """The handlers. Each reads the simulator's current state, which a reset replaces."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        self._advancing = asyncio.Lock()

    @property
    def _state(self) -> "State":
        return self._simulator.state

    async def health(self, _: web.Request) -> web.Response:
        """Respond 200 once the simulator is ready, its initial data included. 500 if a scheduled action has failed."""
        self._state.account.scheduler.require_no_failures()
        return _json({"status": "preparing"}, 503) if self._simulator.preparing else _json({"status": "ok"})

    async def unknown(self, request: web.Request) -> web.Response:
        """Respond 404 to an unknown path."""
        raise KeyError(request.path)

    async def reset(self, _: web.Request) -> web.Response:
        """Discard all objects and settings of tests."""
        await self._simulator.reset()
        return _json({})

    async def advance_clock(self, request: web.Request) -> web.Response:
        """Advance the clock, run the scheduled actions that are due and deliver their events."""
        seconds = (await _body(request, _Advance)).seconds
        async with self._advancing:
            return _json({"now": await timeline.advance(self._state, seconds)})

    async def requests(self, request: web.Request) -> web.Response:
        """Return API requests, filtered by `method`, `path` (a glob) and `after` (a number)."""
        query = request.query
        found = self._state.requests.matching(
            query.get("method", "*"), query.get("path", "*"), int(query.get("after", "0"))
        )
        return _json({"data": found, "total": self._state.requests.total})

    async def rate_limits(self, _: web.Request) -> web.Response:
        """Return the rate limits and the number of refused requests."""
        return _json(self._state.rate_limiter.to_dict())

    async def set_rate_limits(self, request: web.Request) -> web.Response:
        """Replace the rate limits until the next reset. Null is no limit."""
        wanted = await _body(request, _RateLimits)
        account, operation = wanted.requests_per_second, wanted.operation_requests_per_second
        self._state.rate_limiter.set(RateLimits(account or math.inf, operation or math.inf))
        return _json(self._state.rate_limiter.to_dict())

    async def restrict_key(self, request: web.Request) -> web.Response:
        """Create a restricted key, or replace its permissions. What is not named is `none`."""
        wanted = await _body(request, _RestrictedKey)
        unknown = wanted.permissions.keys() - permission_names(RESOURCES)
        if unknown:
            raise ValueError(f"there is no permission {', '.join(sorted(unknown))}")
        self._state.keys.restrict(wanted.key, wanted.permissions)
        return _json(wanted)

    async def revoke_key(self, request: web.Request) -> web.Response:
        """Revoke a restricted key."""
        self._state.keys.revoke(request.match_info["key"])
        return _json({})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Add a fault."""
        return _json(self._state.faults.add(await _body(request, FaultRule)).to_dict())

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Remove all faults."""
        self._state.faults.clear()
        return _json({})

    async def fault(self, request: web.Request) -> web.Response:
        """Return a fault with its counters."""
        return _json(self._state.faults.get(request.match_info["id"]).to_dict())

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Remove a fault."""
        self._state.faults.remove(request.match_info["id"])
        return _json({})

    async def release_fault(self, request: web.Request) -> web.Response:
        """Release the requests that a fault holds."""
        fault = self._state.faults.get(request.match_info["id"])
        fault.release()
        return _json(fault.to_dict())

    async def wait_for_held(self, request: web.Request) -> web.Response:
        """Wait until a fault holds `holding` requests. 504 after `timeout` seconds."""
        fault = self._state.faults.get(request.match_info["id"])
        holding = int(request.query.get("holding", "1"))
        reached = await _in_time(request, fault.wait_for_held(holding))
        return _json(fault.to_dict(), 200 if reached else 504)

    async def add_rule(self, request: web.Request) -> web.Response:
        """Add a webhook rule."""
        return _json(self._state.webhooks.rules.add(await _body(request, DeliveryRule)).to_dict())

    async def rules(self, _: web.Request) -> web.Response:
        """Return the webhook rules with the number of events that each was applied to."""
        return _json({"data": [rule.to_dict() for rule in self._state.webhooks.rules]})

    async def clear_rules(self, _: web.Request) -> web.Response:
        """Remove all webhook rules. Held deliveries stay held."""
        self._state.webhooks.rules.clear()
        return _json({})

    async def deliveries(self, request: web.Request) -> web.Response:
        """Return deliveries, filtered by any of their fields."""
        found = self._state.webhooks.log.deliveries(**request.query)
        return _json({"data": [delivery.to_dict() for delivery in found]})

    async def attempts(self, request: web.Request) -> web.Response:
        """Return finished attempts, filtered by any of their fields."""
        return _json({"data": self._state.webhooks.log.attempts(**request.query)})

    async def release_deliveries(self, request: web.Request) -> web.Response:
        """Start held deliveries."""
        wanted = await _body(request, _Release)
        released = self._state.webhooks.release(wanted.event_id, wanted.event_type)
        return _json({"data": [delivery.to_dict() for delivery in released]})

    async def redeliver(self, request: web.Request) -> web.Response:
        """Deliver an event again now."""
        wanted = await _body(request, _Redelivery)
        event = self._state.account["events"].get(wanted.event_id)
        deliveries = self._state.webhooks.redeliver(event, wanted.endpoint_id, wanted.copies)
        return _json({"data": [delivery.to_dict() for delivery in deliveries]})

    async def wait_until_idle(self, request: web.Request) -> web.Response:
        """Wait until no delivery is in progress. 504 after `timeout` seconds."""
        idle = await _in_time(request, self._state.webhooks.wait_until_idle())
        return _json({"idle": idle, "deliveries": self._state.webhooks.log.counts()}, 200 if idle else 504)

    async def pay(self, request: web.Request) -> web.Response:
        """Pay an intent as a buyer's browser does."""
        wanted = await _body(request, buyer.Payment)
        return _json(buyer.pay(self._state, request.match_info["id"], wanted))

    async def challenge(self, request: web.Request) -> web.Response:
        """Pass or fail the 3-D Secure challenge of an intent."""
        wanted = await _body(request, _Outcome)
        return _json(buyer.finish_challenge(self._state.account, request.match_info["id"], passed=wanted.succeed))

    async def settle(self, request: web.Request) -> web.Response:
        """Complete or fail the debit of a processing intent."""
        wanted = await _body(request, _Outcome)
        return _json(buyer.settle(self._state.account, request.match_info["id"], paid=wanted.succeed))

    async def open_dispute(self, request: web.Request) -> web.Response:
        """Dispute an intent's charge."""
        wanted = await _body(request, bank.OpenDispute)
        return _json(bank.open_dispute(self._state.account, request.match_info["id"], wanted))

    async def move_dispute(self, request: web.Request) -> web.Response:
        """Move a dispute to another status, or close it."""
        wanted = await _body(request, bank.DisputeOutcome)
        return _json(bank.move_dispute(self._state.account, request.match_info["id"], wanted))

    async def finish_refund(self, request: web.Request) -> web.Response:
        """Complete, fail or cancel a refund."""
        wanted = await _body(request, bank.RefundOutcome)
        return _json(bank.finish_refund(self._state.account, request.match_info["id"], wanted))

    async def change_behaviour(self, request: web.Request) -> web.Response:
        """Make a saved payment method behave like another test card."""
        wanted = await _body(request, bank.SimulatedCard)
        return _json(bank.change_behaviour(self._state.account, request.match_info["id"], wanted))

    async def pause_subscription(self, request: web.Request) -> web.Response:
        """Pause a subscription."""
        account = self._state.account
        subscription = account[SUBSCRIPTIONS].get(request.match_info["id"])
        if subscription["status"] in ENDED:
            raise invalid("A subscription that has ended cannot be paused.")
        return _json(lifecycle.pause(account, subscription))

    async def save_portal_settings(self, _: web.Request) -> web.Response:
        """Save the customer portal's settings, as in the Dashboard."""
        return _json(billing_portal.save_settings(self._state.account))

    async def portal(self, request: web.Request) -> web.Response:
        """Return the page of the customer portal."""
        return web.Response(
            text=portal_page.portal_page(self._state, request.match_info["token"]), content_type="text/html"
        )

    async def act_in_portal(self, request: web.Request) -> web.Response:
        """End a subscription or undo that, and show the page again."""
        form, token = await request.post(), request.match_info["token"]
        cancel = form.get("action") == "cancel"
        portal_page.change_subscription(self._state, token, str(form.get("subscription")), cancel=cancel)
        return web.Response(status=303, headers={"Location": request.path})

    async def challenge_page(self, request: web.Request) -> web.Response:
        """Return the page of the buyer's bank."""
        page = buyer.challenge_page(self._state.account, request.match_info["id"])
        return web.Response(text=page, content_type="text/html")

    async def answer_challenge(self, request: web.Request) -> web.Response:
        """Take the buyer's answer from the page and redirect to the shop, or from the dialog of Stripe.js."""
        form = await request.post()
        passed = form.get("outcome") == "pass"
        address = buyer.answer_challenge(self._state.account, request.match_info["id"], passed=passed)
        if address is None:
            return web.json_response({}, headers={"Access-Control-Allow-Origin": "*"})
        return web.Response(status=303, headers={"Location": address})


async def _body(request: web.Request, shape: type[_Body]) -> _Body:
    text = await request.read()
    return shape.model_validate(from_json(text) if text else {})


async def _in_time(request: web.Request, waiting: Awaitable[None]) -> bool:
    """Wait at most the query's `timeout` in seconds. Return false if that was too short."""
    seconds = min(float(request.query.get("timeout", "10")), _MAX_WAIT_SECONDS)
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return False
    return True


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(content), content_type="application/json")
