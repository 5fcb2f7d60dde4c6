"""The simulated API: processing of a request between socket and resource.

The order is Stripe's: key, rate limits, path, idempotency, parameters, execution. A response is saved under its
idempotency key once execution has begun (see `idempotency`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web
from pydantic_core import from_json, to_json

from stripe_simulator.account import Account, Cause
from stripe_simulator.api_errors import ApiError, key_expired, locked, not_permitted, server_error
from stripe_simulator.api_keys import ApiKeys, KeyKind, secret_key_required
from stripe_simulator.api_request import ApiRequest
from stripe_simulator.endpoints import Call, Endpoint, Route, Router
from stripe_simulator.expansion import Expander
from stripe_simulator.faults import Fault, FaultKind, Faults
from stripe_simulator.forms import Form
from stripe_simulator.idempotency import ApiResponse, IdempotencyKeys, in_use, other_parameters
from stripe_simulator.list_filters import check_filters
from stripe_simulator.object_locks import ObjectLocks
from stripe_simulator.rate_limits import RateLimiter, rate_limited
from stripe_simulator.request_log import ReceivedRequest, RequestLog
from stripe_simulator.response_faults import reset_connection, send_with_fault

_log = logging.getLogger("stripe_simulator")

Observer = Callable[[Any], None]
"""Called with the body of each response to a secret key, and with each event, before any fault changes it."""


class ConnectionReset(Exception):
    """The fault is a connection reset instead of a response."""


class Api:
    """Handles `/v1/...`."""

    def __init__(
        self,
        *,
        account: Account,
        router: Router,
        expander: Expander,
        keys: ApiKeys,
        rate_limiter: RateLimiter,
        idempotency: IdempotencyKeys,
        faults: Faults,
        requests: RequestLog,
        url: str,
        observe: Observer | None = None,
    ) -> None:
        self._account = account
        self._router = router
        self._expander = expander
        self._keys = keys
        self._rate_limiter = rate_limiter
        self._idempotency = idempotency
        self._faults = faults
        self._requests = requests
        self._url = url
        self._observe = observe
        self._locks = ObjectLocks()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Respond to one HTTP request, subject to the faults."""
        body = await request.read()
        account = self._account
        request_id = account.ids.new("req")
        api_request = ApiRequest(request, body, request_id, account.settings.api_version, self._log_url(request_id))
        received = self._log_request(api_request)
        new_key = api_request.idempotency_key not in self._idempotency
        fault = self._faults.find_for(api_request.method, api_request.path, api_request.form, new_key=new_key)
        try:
            response = await self._respond(api_request, fault)
        except ConnectionReset:
            reset_connection(request)
            return web.Response(status=502)
        except ApiError as error:
            response = api_request.error_response(error)
        except Exception:  # noqa: BLE001 - the one place where an unexpected exception becomes a 500
            _log.exception("unexpected exception in a request")
            response = api_request.error_response(server_error())
        if self._observe and not api_request.by_browser:
            self._observe(from_json(response.body))
        received.status = response.status
        received.replayed = response.request_id != api_request.request_id
        retry_after = fault.rule.retry_after if fault else None
        http_response = api_request.http_response(response, replayed=received.replayed, retry_after=retry_after)
        return await send_with_fault(request, http_response, fault)

    def call_as_browser(self, path: str, form: Form) -> ApiResponse:
        """Make the POST that Stripe.js makes in a buyer's browser."""
        request_id = self._account.ids.new("req")
        try:
            route = self._router.get("POST", path)
            call = self._call(form, route, KeyKind.PUBLISHABLE, path, self._url)
            with self._account.caused_by(Cause(request_id)):
                content = route.endpoint.handler(call)
        except ApiError as error:
            return ApiResponse(error.status, to_json(error.envelope(self._log_url(request_id))), request_id)
        return ApiResponse(200, to_json(content), request_id)

    def _log_url(self, request_id: str) -> str:
        """Return the address of a request in the Dashboard (https://docs.stripe.com/api/errors)."""
        return f"https://dashboard.stripe.com/test/logs/{request_id}?t={self._account.clock.timestamp()}"

    def _log_request(self, api_request: ApiRequest) -> ReceivedRequest:
        received = ReceivedRequest(
            number=self._requests.total + 1,
            request_id=api_request.request_id,
            method=api_request.method,
            path=api_request.path,
            params=api_request.form,
            idempotency_key=api_request.idempotency_key,
            stripe_version=api_request.stripe_version,
            received_at=time.time(),
            received_monotonic=time.monotonic(),
        )
        self._requests.add(received)
        return received

    async def _respond(self, api_request: ApiRequest, fault: Fault | None) -> ApiResponse:
        _raise_before_execution(fault, api_request)
        api_key = self._keys.identify(api_request.authorization, api_request.publishable_key)
        self._rate_limiter.admit_to_account()
        api_request.check()
        route = self._router.get(api_request.method, api_request.path)
        self._rate_limiter.admit_to_operation(f"{route.endpoint.method} {route.endpoint.template}")
        if api_key.kind is KeyKind.PUBLISHABLE and route.endpoint.split_browser_fields is None:
            raise secret_key_required()
        api_key.require_permission(route.endpoint.method, route.kind)
        key = api_request.idempotency_key
        response = self._idempotency.find_replay(key, api_request.path, api_request.form) if key else None
        if response is None:
            call = self._call(api_request.form, route, api_key.kind, api_request.path, api_request.origin)
            for kind in self._expander.kinds(route.kind, call.expanded, in_list=route.endpoint.returns_list):
                api_key.require_permission("GET", kind)
            response = await self._run_with_key(api_request, route.endpoint, call, fault)
        await _delay(fault, FaultKind.LATENCY_AFTER, FaultKind.HOLD_AFTER)
        if _is(fault, FaultKind.RESET_AFTER):
            raise ConnectionReset
        return response

    def _call(self, form: Form, route: Route, key_kind: KeyKind, path: str, origin: str) -> Call:
        """Validate the parameters. Refused ones are not saved under an idempotency key."""
        endpoint = route.endpoint
        if key_kind is KeyKind.PUBLISHABLE and endpoint.split_browser_fields:
            server_fields, browser_fields = endpoint.split_browser_fields(form)
            params = endpoint.parameters.check(server_fields) | browser_fields
        else:
            params = endpoint.parameters.check(form)
        self._expander.check(route.kind, params.get("expand") or (), in_list=endpoint.returns_list)
        if endpoint.returns_list:
            check_filters(self._account, params)
        return Call(self._account, key_kind, params, route.id, path, origin, route.kind)

    async def _run_with_key(
        self, api_request: ApiRequest, endpoint: Endpoint, call: Call, fault: Fault | None
    ) -> ApiResponse:
        """Execute with the idempotency key in progress. Save the response, or free the key if nothing was executed."""
        key = api_request.idempotency_key
        if key is None:
            return await self._run_locked(api_request, endpoint, call, fault)
        self._idempotency.begin(key, api_request.path, api_request.form)
        try:
            response = await self._run_locked(api_request, endpoint, call, fault)
        except BaseException:
            self._idempotency.abandon(key)
            raise
        self._idempotency.finish(key, response)
        return response

    async def _run_locked(
        self, api_request: ApiRequest, endpoint: Endpoint, call: Call, fault: Fault | None
    ) -> ApiResponse:
        with self._locks.hold(endpoint, call):
            return await self._run(api_request, endpoint, call, fault)

    async def _run(self, api_request: ApiRequest, endpoint: Endpoint, call: Call, fault: Fault | None) -> ApiResponse:
        await _delay(fault, FaultKind.LATENCY_BEFORE, FaultKind.HOLD_BEFORE)
        if _is(fault, FaultKind.RESET_BEFORE):
            raise ConnectionReset
        failure = api_request.error_response(server_error())
        if _is(fault, FaultKind.ERROR_BEFORE):
            return failure
        response = self._execute(api_request, endpoint, call)
        return failure if _is(fault, FaultKind.ERROR_AFTER) else response

    def _execute(self, api_request: ApiRequest, endpoint: Endpoint, call: Call) -> ApiResponse:
        """Run the endpoint without awaiting, so that it is atomic."""
        try:
            with self._account.caused_by(Cause(api_request.request_id, api_request.idempotency_key)):
                content = endpoint.handler(call)
            expanded = self._expander.expand(self._account, call.kind, content, call.expanded)
        except ApiError as error:
            return api_request.error_response(error)
        return api_request.response(200, expanded)


def _is(fault: Fault | None, kind: FaultKind) -> bool:
    return fault is not None and fault.rule.kind is kind


_ERRORS_BEFORE_EXECUTION: Final[Mapping[FaultKind, Callable[[], ApiError]]] = {
    FaultKind.LOCK_TIMEOUT: locked,
    FaultKind.UNAUTHORIZED: key_expired,
    FaultKind.FORBIDDEN: not_permitted,
    FaultKind.KEY_IN_USE: in_use,
    FaultKind.ERROR_UNSAVED: server_error,
    FaultKind.PROXY_ERROR_BEFORE: server_error,
}


def _raise_before_execution(fault: Fault | None, api_request: ApiRequest) -> None:
    if _is(fault, FaultKind.KEY_MISMATCH):
        raise other_parameters(api_request.idempotency_key or "")
    if fault is not None and fault.rule.kind is FaultKind.RATE_LIMIT:
        raise rate_limited(fault.rule.reason)
    if fault is not None and fault.rule.kind in _ERRORS_BEFORE_EXECUTION:
        error = _ERRORS_BEFORE_EXECUTION[fault.rule.kind]()
        raise error


async def _delay(fault: Fault | None, latency: FaultKind, hold: FaultKind) -> None:
    if fault and fault.rule.kind is latency:
        await asyncio.sleep(fault.rule.seconds)
    if fault and fault.rule.kind is hold:
        await fault.hold()
