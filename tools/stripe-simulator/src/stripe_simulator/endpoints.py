"""API endpoints, and the router that finds one by method and path."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import unrecognized_url
from stripe_simulator.api_keys import KeyKind
from stripe_simulator.collection import StripeObject
from stripe_simulator.forms import Form
from stripe_simulator.parameters import Parameters, Params

_ID_SEGMENTS: Final = (3, 4)
"""Places of the id in a path: /v1/prices/ID, and /v1/billing_portal/configurations/ID."""


@dataclass(frozen=True, slots=True)
class Call:
    """A validated request. `id` is the id in its path, and `kind` the kind of object that it returns or lists."""

    account: Account
    key_kind: KeyKind
    params: Params
    id: str = ""
    url: str = ""
    simulator_url: str = ""
    kind: str = ""

    @property
    def expanded(self) -> Sequence[str]:
        """The paths of `expand`."""
        return self.params.get("expand") or ()


Handler = Callable[[Call], StripeObject]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path with its parameters and handler.

    `split_browser_fields` splits off the fields that only a browser sends, before the rest is validated. Endpoints with
    it accept publishable keys.
    """

    method: str
    template: str
    handler: Handler
    parameters: Parameters
    split_browser_fields: Callable[[Form], tuple[Form, Params]] | None = None

    @property
    def returns_list(self) -> bool:
        """True if the endpoint returns a page of objects."""
        return self.method == "GET" and not self.template.endswith("{id}")


Expandable = str | None | Mapping[str, Any]
ExpandableFields = Mapping[str, Expandable]


@dataclass(frozen=True, slots=True)
class Resource:
    """A collection of objects with its endpoints and expandable fields.

    `expandable` maps a field to the collection that its id or ids belong to, to None for a field that is only included
    on request, or to the expandable fields of what is embedded in it.
    """

    collection: str
    kind: str
    endpoints: tuple[Endpoint, ...]
    expandable: ExpandableFields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """The endpoint of a path, the id in the path, and the kind of object that the endpoint returns."""

    endpoint: Endpoint
    kind: str
    id: str = ""


class Router:
    """Finds the endpoint for a method and path."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._endpoints: dict[tuple[str, str], tuple[Endpoint, str]] = {}
        for resource in resources:
            for endpoint in resource.endpoints:
                endpoint.parameters.build()
                self._endpoints[endpoint.method, endpoint.template] = endpoint, resource.kind

    def get(self, method: str, path: str) -> Route:
        """Return the route. Raises Stripe's 404."""
        if found := self._endpoints.get((method, path)):
            return Route(*found)
        segments = path.split("/")
        for place in _ID_SEGMENTS:
            object_id = segments[place] if len(segments) > place else ""
            template = "/".join([*segments[:place], "{id}", *segments[place + 1 :]])
            found = self._endpoints.get((method, template))
            if object_id and found:
                return Route(*found, object_id)
        raise unrecognized_url(method, path)
