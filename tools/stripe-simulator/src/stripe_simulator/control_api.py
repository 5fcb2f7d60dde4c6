"""The `/_simulator/...` API: what tests turn to make Stripe misbehave, and what they look at afterwards.

It asks for no key: the simulator is a tool that listens on loopback.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from stripe_simulator import bank, billing, buyer
from stripe_simulator.api_errors import ApiError
from stripe_simulator.faults import FaultRule
from stripe_simulator.resources.webhook_endpoints import roll_secret
from stripe_simulator.webhooks.rules import DeliveryRule

if TYPE_CHECKING:
    from stripe_simulator.simulator import Simulator
    from stripe_simulator.state import State

_MAX_WAIT_SECONDS = 300.0
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


class _Roll(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expires_in_seconds: float = Field(default=24 * 3600.0, ge=0)


class _Outcome(BaseModel):
    model_config = ConfigDict(extra="forbid")

    succeed: bool = True


def control_routes(simulator: "Simulator") -> list[web.RouteDef]:
    """Answer every route of the knob API."""
    control = ControlApi(simulator)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/health", control.health),
        ("GET", "/state", control.state),
        ("POST", "/reset", control.reset),
        ("POST", "/clock/advance", control.advance),
        ("GET", "/requests", control.requests),
        ("DELETE", "/requests", control.forget_requests),
        ("GET", "/faults", control.faults),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/faults/{id}", control.fault),
        ("DELETE", "/faults/{id}", control.remove_fault),
        ("POST", "/faults/{id}/release", control.release_fault),
        ("GET", "/faults/{id}/wait", control.wait_for_held),
        ("GET", "/webhooks/rules", control.rules),
        ("POST", "/webhooks/rules", control.add_rule),
        ("DELETE", "/webhooks/rules", control.clear_rules),
        ("DELETE", "/webhooks/rules/{id}", control.remove_rule),
        ("GET", "/webhooks/deliveries", control.deliveries),
        ("GET", "/webhooks/attempts", control.attempts),
        ("POST", "/webhooks/release", control.release_deliveries),
        ("POST", "/webhooks/redeliver", control.redeliver),
        ("GET", "/webhooks/idle", control.wait_until_idle),
        ("POST", "/webhook_endpoints/{id}/roll_secret", control.roll),
        ("POST", "/payment_intents/{id}/pay", control.pay),
        ("POST", "/payment_intents/{id}/challenge", control.challenge),
        ("POST", "/payment_intents/{id}/settle", control.settle),
        ("POST", "/payment_intents/{id}/dispute", control.dispute),
        ("POST", "/setup_intents/{id}/pay", control.pay),
        ("POST", "/setup_intents/{id}/challenge", control.challenge),
        ("POST", "/disputes/{id}/move", control.move_dispute),
        ("POST", "/refunds/{id}/finish", control.finish_refund),
        ("POST", "/payment_methods/{id}/behave", control.behave),
        ("POST", "/subscriptions/{id}/pause", control.pause),
        ("GET", "/challenges/{id}", control.challenge_page),
        ("POST", "/challenges/{id}", control.answer_challenge_page),
        ("*", "/{rest:.*}", control.unknown),
    ]
    return [web.route(method, f"/_simulator{path}", _explained(handler)) for method, path, handler in routes]


def _explained(handler: Handler) -> Handler:
    """Answer 422 for a body that does not fit and 404 for an id that leads nowhere."""

    async def explained(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (ValidationError, ValueError) as error:
            return _json({"error": str(error)}, 422)
        except KeyError as error:
            return _json({"error": f"There is no {error}."}, 404)
        except ApiError as problem:
            return _json(problem.envelope(), problem.status)

    return explained


class ControlApi:
    """The handlers; each works on the world of the moment."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator

    @property
    def _state(self) -> "State":
        return self._simulator.state

    async def health(self, _: web.Request) -> web.Response:
        """Answer whether the simulator is up, with everything that it was to begin with."""
        return _json({"status": "preparing"}, 503) if self._simulator.preparing else _json({"status": "ok"})

    async def unknown(self, request: web.Request) -> web.Response:
        """Answer 404 for a knob that does not exist."""
        raise KeyError(request.path)

    async def state(self, _: web.Request) -> web.Response:
        """Answer counters."""
        return _json(self._state.counters())

    async def reset(self, _: web.Request) -> web.Response:
        """Forget everything."""
        await self._simulator.reset()
        return _json(self._state.counters())

    async def advance(self, request: web.Request) -> web.Response:
        """Move the clock; what is due by then happens before the answer."""
        account = self._state.account
        account.clock.advance((await _body(request, _Advance)).seconds)
        account.scheduler.run_due()
        return _json(self._state.counters()["clock"])

    async def requests(self, request: web.Request) -> web.Response:
        """Answer the API requests received, filtered by `method`, `path` (a glob) and `after` (a number)."""
        query = request.query
        found = self._state.requests.matching(
            query.get("method", "*"), query.get("path", "*"), int(query.get("after", "0"))
        )
        return _json({"data": found, "total": self._state.requests.total})

    async def forget_requests(self, _: web.Request) -> web.Response:
        """Empty the request log."""
        self._state.requests.clear()
        return _json({})

    async def faults(self, _: web.Request) -> web.Response:
        """Answer the faults that are set."""
        return _json({"data": [fault.to_dict() for fault in self._state.faults]})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Set a fault."""
        return _json(self._state.faults.add(await _body(request, FaultRule)).to_dict())

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Take all faults away."""
        self._state.faults.clear()
        return _json({})

    async def fault(self, request: web.Request) -> web.Response:
        """Answer one fault with its counters."""
        return _json(self._state.faults.get(request.match_info["id"]).to_dict())

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Take one fault away."""
        self._state.faults.remove(request.match_info["id"])
        return _json({})

    async def release_fault(self, request: web.Request) -> web.Response:
        """Let what a fault holds go on."""
        fault = self._state.faults.get(request.match_info["id"])
        fault.release()
        return _json(fault.to_dict())

    async def wait_for_held(self, request: web.Request) -> web.Response:
        """Wait until a fault holds so many requests; 504 if `timeout` passes first."""
        fault = self._state.faults.get(request.match_info["id"])
        holding = int(request.query.get("holding", "1"))
        reached = await _within(request, fault.wait_for_held(holding))
        return _json(fault.to_dict(), 200 if reached else 504)

    async def rules(self, _: web.Request) -> web.Response:
        """Answer the webhook rules that are set."""
        return _json({"data": [rule.to_dict() for rule in self._state.webhooks.rules]})

    async def add_rule(self, request: web.Request) -> web.Response:
        """Set a webhook rule."""
        return _json(self._state.webhooks.rules.add(await _body(request, DeliveryRule)).to_dict())

    async def clear_rules(self, _: web.Request) -> web.Response:
        """Take all webhook rules away; what they hold stays held."""
        self._state.webhooks.rules.clear()
        return _json({})

    async def remove_rule(self, request: web.Request) -> web.Response:
        """Take one webhook rule away."""
        self._state.webhooks.rules.remove(request.match_info["id"])
        return _json({})

    async def deliveries(self, request: web.Request) -> web.Response:
        """Answer deliveries, filtered by any of their fields."""
        found = self._state.webhooks.log.deliveries(**request.query)
        return _json({"data": [delivery.to_dict() for delivery in found]})

    async def attempts(self, request: web.Request) -> web.Response:
        """Answer finished tries, filtered by any of their fields."""
        return _json({"data": self._state.webhooks.log.attempts(**request.query)})

    async def release_deliveries(self, request: web.Request) -> web.Response:
        """Let held deliveries go."""
        wanted = await _body(request, _Release)
        released = self._state.webhooks.release(wanted.event_id, wanted.event_type)
        return _json({"data": [delivery.to_dict() for delivery in released]})

    async def redeliver(self, request: web.Request) -> web.Response:
        """Deliver an event again now."""
        wanted = await _body(request, _Redelivery)
        event = self._state.account["events"].get(wanted.event_id)
        made = self._state.webhooks.redeliver(event, wanted.endpoint_id, wanted.copies)
        return _json({"data": [delivery.to_dict() for delivery in made]})

    async def wait_until_idle(self, request: web.Request) -> web.Response:
        """Wait until no delivery is on its way; 504 if `timeout` passes first."""
        idle = await _within(request, self._state.webhooks.wait_until_idle())
        return _json({"idle": idle, "deliveries": self._state.webhooks.log.counts()}, 200 if idle else 504)

    async def roll(self, request: web.Request) -> web.Response:
        """Roll an endpoint's secret; both sign until the old one expires."""
        wanted = await _body(request, _Roll)
        made = roll_secret(self._state.account, request.match_info["id"], wanted.expires_in_seconds)
        return _json({"secret": made})

    async def pay(self, request: web.Request) -> web.Response:
        """Pay an intent as a buyer's browser would."""
        wanted = await _body(request, buyer.Payment)
        return _json(buyer.pay(self._state, request.match_info["id"], wanted))

    async def challenge(self, request: web.Request) -> web.Response:
        """Pass or fail the 3-D Secure challenge of an intent."""
        wanted = await _body(request, _Outcome)
        return _json(buyer.finish_challenge(self._state.account, request.match_info["id"], passed=wanted.succeed))

    async def settle(self, request: web.Request) -> web.Response:
        """Let the debit of a processing intent arrive or fail."""
        wanted = await _body(request, _Outcome)
        return _json(buyer.settle(self._state.account, request.match_info["id"], paid=wanted.succeed))

    async def dispute(self, request: web.Request) -> web.Response:
        """Open a dispute about an intent's charge."""
        wanted = await _body(request, bank.OpenDispute)
        return _json(bank.dispute(self._state.account, request.match_info["id"], wanted))

    async def move_dispute(self, request: web.Request) -> web.Response:
        """Move a dispute on, or close it."""
        wanted = await _body(request, bank.DisputeOutcome)
        return _json(bank.move_dispute(self._state.account, request.match_info["id"], wanted))

    async def finish_refund(self, request: web.Request) -> web.Response:
        """Let a refund succeed, fail or be canceled."""
        wanted = await _body(request, bank.RefundOutcome)
        return _json(bank.finish_refund(self._state.account, request.match_info["id"], wanted))

    async def behave(self, request: web.Request) -> web.Response:
        """Let a saved payment method behave like another test card."""
        wanted = await _body(request, bank.TestCard)
        return _json(bank.change_behaviour(self._state.account, request.match_info["id"], wanted))

    async def pause(self, request: web.Request) -> web.Response:
        """Pause a subscription."""
        account = self._state.account
        return _json(billing.pause(account, account[billing.SUBSCRIPTIONS].get(request.match_info["id"])))

    async def challenge_page(self, request: web.Request) -> web.Response:
        """Show the page of the buyer's bank."""
        return web.Response(
            text=buyer.challenge_page(self._state.account, request.match_info["id"]), content_type="text/html"
        )

    async def answer_challenge_page(self, request: web.Request) -> web.Response:
        """Take the buyer's answer and send them back to the shop."""
        form = await request.post()
        passed = form.get("outcome") == "pass"
        address = buyer.answer_challenge(self._state.account, request.match_info["id"], passed=passed)
        return web.Response(status=303, headers={"Location": address})


async def _body(request: web.Request, shape: type[_Body]) -> _Body:
    text = await request.read()
    return shape.model_validate(from_json(text) if text else {})


async def _within(request: web.Request, waiting: Awaitable[None]) -> bool:
    """Wait at most the `timeout` of the query, in seconds; tell whether it was enough."""
    seconds = min(float(request.query.get("timeout", "10")), _MAX_WAIT_SECONDS)
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return False
    return True


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(content), content_type="application/json")
