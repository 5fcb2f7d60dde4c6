"""Who is asking, for the routes: read from the Authorization header."""

from typing import Annotated

from fastapi import Depends, Header, Request

from payments_gateway.identity import Caller, NotSignedIn, TokenVerifier


def _caller(request: Request, authorization: Annotated[str | None, Header()] = None) -> Caller:
    verifier: TokenVerifier = request.app.state.verifier
    return verifier.caller(authorization)


AnyCaller = Annotated[Caller, Depends(_caller)]
"""A user or a guest. A bad token is a 401, never a guest."""


def _user_id(caller: AnyCaller) -> str:
    if caller.user_id is None:
        raise NotSignedIn
    return caller.user_id


SignedInUser = Annotated[str, Depends(_user_id)]
"""A user's id; a guest gets 401."""
