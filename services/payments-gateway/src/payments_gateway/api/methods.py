"""Methods that the routes of a path take."""

from typing import Final

from starlette.routing import Match
from starlette.types import Scope

_METHODS: Final = ("GET", "HEAD", "POST")
"""Every method that a route of the gateway takes."""


def is_taken(scope: Scope) -> bool:
    """Return True if a route takes this method of this path."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


def allowed_methods(scope: Scope) -> str:
    """Return the Allow header of this path: a router names the methods of one of its routes only."""
    return ", ".join(method for method in _METHODS if is_taken({**scope, "method": method}))
