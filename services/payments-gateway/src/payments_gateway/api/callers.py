"""Route dependencies: the caller, read from the Authorization header, within the route's rate limits."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from prometheus_client import Counter

from payments_gateway.access.client_addresses import ClientAddresses
from payments_gateway.access.rate_limits import RateLimited, RateLimiter
from payments_gateway.access.tokens import TokenVerifier, Unauthenticated
from payments_gateway.domain.callers import Caller

_TOKENS_REJECTED: Final = Counter(
    "holdfast_tokens_rejected", "Requests without the valid token that they need, by reason.", ["reason"]
)
_RATE_LIMITED: Final = Counter("holdfast_requests_rate_limited", "Requests over a rate limit, by limit.", ["limit"])

SIGNED_IN: Final[dict[str, Any]] = {"security": [{"bearer": []}]}
"""OpenAPI of a route for users only."""
GUESTS_TOO: Final[dict[str, Any]] = {"security": [{}, {"bearer": []}]}
"""OpenAPI of a route for users and guests."""


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Authentication and rate limits of all routes."""

    verifier: TokenVerifier
    addresses: ClientAddresses
    initiate_by_address: RateLimiter
    initiate_by_user: RateLimiter
    lookup_by_address: RateLimiter
    """Limits requests that make the gateway ask Stripe about one checkout."""

    async def caller(self, request: Request) -> Caller:
        """Return the caller. Raises Unauthenticated, JwksUnavailable."""
        try:
            return await self.verifier.caller(request.headers.get("authorization"))
        except Unauthenticated as error:
            _TOKENS_REJECTED.labels(error.reason).inc()
            raise

    def check_address_limit(self, limiter: RateLimiter, request: Request) -> None:
        """Count a request of the client's address. Raises RateLimited."""
        peer = request.client.host if request.client else None
        _take(limiter, self.addresses.client_of(peer, request.headers.getlist("x-forwarded-for")))

    def check_user_limit(self, limiter: RateLimiter, caller: Caller) -> None:
        """Count a request of a signed-in user; guests are limited by address only. Raises RateLimited."""
        if caller.user_id is not None:
            _take(limiter, caller.user_id)


def _take(limiter: RateLimiter, key: str) -> None:
    try:
        limiter.take(key)
    except RateLimited as error:
        _RATE_LIMITED.labels(error.limit).inc()
        raise


def _access_control(request: Request) -> AccessControl:
    access_control: AccessControl = request.app.state.access_control
    return access_control


async def _caller(request: Request) -> Caller:
    return await _access_control(request).caller(request)


async def _initiating_caller(request: Request) -> Caller:
    """Count the address before the token is verified, so that invalid tokens count as well."""
    access_control = _access_control(request)
    access_control.check_address_limit(access_control.initiate_by_address, request)
    caller = await access_control.caller(request)
    access_control.check_user_limit(access_control.initiate_by_user, caller)
    return caller


async def _rate_limited_caller(request: Request) -> Caller:
    access_control = _access_control(request)
    access_control.check_address_limit(access_control.lookup_by_address, request)
    return await access_control.caller(request)


AnyCaller = Annotated[Caller, Depends(_caller)]
"""A user or a guest. An invalid token is a 401, never a guest."""

InitiatingCaller = Annotated[Caller, Depends(_initiating_caller)]
"""A user or a guest within the limits of new checkouts, else 429."""

RateLimitedCaller = Annotated[Caller, Depends(_rate_limited_caller)]
"""A user or a guest within the limit of requests that ask Stripe, else 429."""


def _user_id(caller: AnyCaller) -> str:
    if caller.user_id is None:
        _TOKENS_REJECTED.labels("absent").inc()
        raise Unauthenticated
    return caller.user_id


def _rate_limited_user_id(caller: RateLimitedCaller) -> str:
    return _user_id(caller)


SignedInUser = Annotated[str, Depends(_user_id)]
"""A user's id; 401 for a guest."""

RateLimitedUser = Annotated[str, Depends(_rate_limited_user_id)]
"""A user's id within the limit of requests that ask Stripe; 401 for a guest."""
