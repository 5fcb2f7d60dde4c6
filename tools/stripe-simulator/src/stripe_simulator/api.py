"""The API side: what happens to a request between socket and resource.

In Stripe's order: key, URL, idempotency, parameters, execution. Answers are saved under their idempotency key once
execution began (see `idempotency`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from stripe_simulator.access import ApiKeys, KeyKind, secret_key_required
from stripe_simulator.account import Account, Cause
from stripe_simulator.api_errors import ApiError, key_refused, locked, not_permitted, rate_limited, server_error
from stripe_simulator.api_request import ApiRequest
from stripe_simulator.endpoints import Call, Endpoint, Match, Router
from stripe_simulator.expansion import Expander
from stripe_simulator.faults import Fault, FaultKind, Faults
from stripe_simulator.forms import Form
from stripe_simulator.idempotency import Answer, IdempotencyKeys, in_use, other_parameters
from stripe_simulator.request_log import ReceivedRequest, RequestLog
from stripe_simulator.response_faults import reset_connection, send_with_fault

_log = logging.getLogger("stripe_simulator")


class ConnectionReset(Exception):
    """The connection is to be reset instead of answered."""


class Api:
    """Answers `/v1/...`."""

    def __init__(
        self,
        *,
        account: Account,
        router: Router,
        expander: Expander,
        keys: ApiKeys,
        idempotency: IdempotencyKeys,
        faults: Faults,
        requests: RequestLog,
        url: str,
    ) -> None:
        self._account = account
        self._router = router
        self._expander = expander
        self._keys = keys
        self._idempotency = idempotency
        self._faults = faults
        self._requests = requests
        self._url = url

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request, or reset its connection or send_with_fault its answer where a fault says so."""
        body = await request.read()
        account = self._account
        api_request = ApiRequest(request, body, account.ids.new("req"), account.settings.api_version)
        received = self._note(api_request)
        first = api_request.idempotency_key not in self._idempotency
        fault = self._faults.next_for(api_request.method, api_request.path, api_request.form, first=first)
        try:
            answer = await self._answer(api_request, fault)
        except ConnectionReset:
            reset_connection(request)
            return web.Response(status=502)
        except ApiError as problem:
            answer = api_request.answer(problem.status, problem.envelope())
        except Exception:  # noqa: BLE001 - the one place where the unknown becomes a 500
            _log.exception("a request could not be executed")
            answer = api_request.answer(500, server_error().envelope())
        received.status = answer.status
        received.replayed = answer.request_id != api_request.request_id
        retry_after = fault.rule.retry_after if fault else None
        response = api_request.response(answer, replayed=received.replayed, retry_after=retry_after)
        return await send_with_fault(request, response, fault)

    def call_as_browser(self, path: str, form: Form) -> Answer:
        """Do what Stripe.js in a buyer's browser would do with a POST to this path."""
        request_id = self._account.ids.new("req")
        try:
            match = self._router.find("POST", path)
            call = self._call(form, match, KeyKind.PUBLISHABLE, path)
            with self._account.caused_by(Cause(request_id)):
                content = match.endpoint.handler(call)
        except ApiError as problem:
            return Answer(problem.status, to_json(problem.envelope()), request_id)
        return Answer(200, to_json(content), request_id)

    def _note(self, api_request: ApiRequest) -> ReceivedRequest:
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

    async def _answer(self, api_request: ApiRequest, fault: Fault | None) -> Answer:
        _raise_before_execution(fault, api_request)
        key_kind = self._keys.identify(api_request.authorization)
        api_request.check()
        match = self._router.find(api_request.method, api_request.path)
        if key_kind is KeyKind.PUBLISHABLE and match.endpoint.prepare is None:
            raise secret_key_required()
        key = api_request.idempotency_key
        answer = self._idempotency.replay(key, api_request.path, api_request.form) if key else None
        if answer is None:
            call = self._call(api_request.form, match, key_kind, api_request.path)
            answer = await self._run_with_key(api_request, match.endpoint, call, fault)
        await _delay(fault, FaultKind.LATENCY_AFTER, FaultKind.HOLD_AFTER)
        if _is(fault, FaultKind.RESET_AFTER):
            raise ConnectionReset
        return answer

    def _call(self, form: Form, match: Match, key_kind: KeyKind, path: str) -> Call:
        """Check the parameters; nothing that is refused here is saved under an idempotency key."""
        endpoint = match.endpoint
        if key_kind is KeyKind.PUBLISHABLE and endpoint.prepare:
            prepared, extra = endpoint.prepare(form)
            params = endpoint.parameters.check(prepared) | extra
        else:
            params = endpoint.parameters.check(form)
        self._expander.check(match.kind, params.get("expand") or (), in_list=match.answers_list)
        return Call(self._account, key_kind, params, match.ids, path, self._url)

    async def _run_with_key(
        self, api_request: ApiRequest, endpoint: Endpoint, call: Call, fault: Fault | None
    ) -> Answer:
        """Execute with the idempotency key in progress; save the answer, or give the key back if nothing ran."""
        key = api_request.idempotency_key
        if key is None:
            return await self._run(api_request, endpoint, call, fault)
        self._idempotency.begin(key, api_request.path, api_request.form)
        try:
            answer = await self._run(api_request, endpoint, call, fault)
        except BaseException:
            self._idempotency.abandon(key)
            raise
        self._idempotency.finish(key, answer)
        return answer

    async def _run(self, api_request: ApiRequest, endpoint: Endpoint, call: Call, fault: Fault | None) -> Answer:
        await _delay(fault, FaultKind.LATENCY_BEFORE, FaultKind.HOLD_BEFORE)
        if _is(fault, FaultKind.RESET_BEFORE):
            raise ConnectionReset
        failure = api_request.answer(500, server_error().envelope())
        if _is(fault, FaultKind.ERROR_BEFORE):
            return failure
        answer = self._execute(api_request, endpoint, call)
        return failure if _is(fault, FaultKind.ERROR_AFTER) else answer

    def _execute(self, api_request: ApiRequest, endpoint: Endpoint, call: Call) -> Answer:
        """Run the endpoint without a pause, so that no other request sees it half done."""
        try:
            with self._account.caused_by(Cause(api_request.request_id, api_request.idempotency_key)):
                content = endpoint.handler(call)
            expanded = self._expander.expand(self._account, content, call.params.get("expand") or ())
        except ApiError as problem:
            return api_request.answer(problem.status, problem.envelope())
        return api_request.answer(200, expanded)


def _is(fault: Fault | None, kind: FaultKind) -> bool:
    return fault is not None and fault.rule.kind is kind


_ERRORS_BEFORE_EXECUTION: Final[Mapping[FaultKind, Callable[[], ApiError]]] = {
    FaultKind.RATE_LIMIT: rate_limited,
    FaultKind.LOCK_TIMEOUT: locked,
    FaultKind.UNAUTHORIZED: key_refused,
    FaultKind.FORBIDDEN: not_permitted,
    FaultKind.KEY_IN_USE: in_use,
    FaultKind.ERROR_UNSAVED: server_error,
    FaultKind.PROXY_ERROR_BEFORE: server_error,
}
"""What is answered before anything is executed."""


def _raise_before_execution(fault: Fault | None, api_request: ApiRequest) -> None:
    if _is(fault, FaultKind.KEY_MISMATCH):
        raise other_parameters(api_request.idempotency_key or "")
    if fault is not None and fault.rule.kind in _ERRORS_BEFORE_EXECUTION:
        problem = _ERRORS_BEFORE_EXECUTION[fault.rule.kind]()
        raise problem


async def _delay(fault: Fault | None, latency: FaultKind, hold: FaultKind) -> None:
    if fault and fault.rule.kind is latency:
        await asyncio.sleep(fault.rule.seconds)
    if fault and fault.rule.kind is hold:
        await fault.hold()
