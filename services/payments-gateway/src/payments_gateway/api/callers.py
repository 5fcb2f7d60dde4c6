"""Who is asking, for the routes: read from the Authorization header, and held to the limits of a route."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, Request
from prometheus_client import Counter

from payments_gateway.access.client_addresses import ClientAddresses
from payments_gateway.access.rate_limits import RateLimited, RateLimiter
from payments_gateway.access.tokens import TokenVerifier, Unauthenticated
from payments_gateway.domain.callers import Caller

_TOKENS_REFUSED: Final = Counter("tokens_refused", "Requests refused for their token, by what is wrong.", ["fault"])
_RATE_LIMITED: Final = Counter("rate_limited", "Requests refused because there were too many, by limit.", ["limit"])

Authorization = Annotated[str | None, Header()]


@dataclass(frozen=True)
class AccessControl:
    """Decides who may come in."""

    verifier: TokenVerifier
    addresses: ClientAddresses
    initiate_by_address: RateLimiter
    initiate_by_user: RateLimiter
    lookup_by_address: RateLimiter
    """Requests that make us ask Stripe about one checkout."""

    async def caller(self, authorization: str | None) -> Caller:
        """Return who sends this header. Raises Unauthenticated, JwksUnavailable."""
        try:
            return await self.verifier.caller(authorization)
        except Unauthenticated as refused:
            _TOKENS_REFUSED.labels(refused.fault).inc()
            raise

    def check_address_limit(self, limiter: RateLimiter, request: Request) -> None:
        """Count a request for the client's address. Raises RateLimited."""
        peer = request.client.host if request.client else None
        _take(limiter, self.addresses.client_of(peer, request.headers.getlist("x-forwarded-for")))

    def check_user_limit(self, limiter: RateLimiter, caller: Caller) -> None:
        """Count a request for a signed-in user; guests have no name and are known by address only."""
        if caller.user_id is not None:
            _take(limiter, caller.user_id)


def _take(limiter: RateLimiter, key: str) -> None:
    try:
        limiter.take(key)
    except RateLimited as refused:
        _RATE_LIMITED.labels(refused.limit).inc()
        raise


def _access_control(request: Request) -> AccessControl:
    access_control: AccessControl = request.app.state.access_control
    return access_control


async def _caller(request: Request, authorization: Authorization = None) -> Caller:
    return await _access_control(request).caller(authorization)


async def _initiating_caller(request: Request, authorization: Authorization = None) -> Caller:
    """Count the address before the token is looked at, so that bad tokens count as well."""
    access_control = _access_control(request)
    access_control.check_address_limit(access_control.initiate_by_address, request)
    caller = await access_control.caller(authorization)
    access_control.check_user_limit(access_control.initiate_by_user, caller)
    return caller


async def _rate_limited_caller(request: Request, authorization: Authorization = None) -> Caller:
    access_control = _access_control(request)
    access_control.check_address_limit(access_control.lookup_by_address, request)
    return await access_control.caller(authorization)


AnyCaller = Annotated[Caller, Depends(_caller)]
"""A user or a guest. A bad token is a 401, never a guest."""

InitiatingCaller = Annotated[Caller, Depends(_initiating_caller)]
"""A user or a guest who may begin a checkout now; 429 for who begins too many."""

RateLimitedCaller = Annotated[Caller, Depends(_rate_limited_caller)]
"""A user or a guest who may have Stripe asked about a checkout now; 429 for who asks too often."""


def _user_id(caller: AnyCaller) -> str:
    if caller.user_id is None:
        _TOKENS_REFUSED.labels("absent").inc()
        raise Unauthenticated
    return caller.user_id


def _rate_limited_user_id(caller: RateLimitedCaller) -> str:
    return _user_id(caller)


SignedInUser = Annotated[str, Depends(_user_id)]
"""A user's id; a guest gets 401."""

RateLimitedUser = Annotated[str, Depends(_rate_limited_user_id)]
"""The same, of a user who may have Stripe asked now; 429 for who asks too often."""
