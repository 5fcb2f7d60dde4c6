"""What an API endpoint is, and how a URL finds it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from stripe_simulator.access import KeyKind
from stripe_simulator.account import Account
from stripe_simulator.api_errors import unrecognized_url
from stripe_simulator.collection import StripeObject
from stripe_simulator.forms import Form
from stripe_simulator.parameters import Parameters, Params


@dataclass(frozen=True, slots=True)
class Call:
    """One checked request, ready to be executed."""

    account: Account
    key_kind: KeyKind
    params: Params
    ids: tuple[str, ...] = ()
    url: str = ""
    simulator_url: str = ""

    @property
    def id(self) -> str:
        """The id in the URL."""
        return self.ids[0]


Handler = Callable[[Call], StripeObject]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and URL with what it takes and does.

    `prepare` splits what only a browser sends off the form before it is checked; endpoints that have it are open to
    publishable keys.
    """

    method: str
    template: str
    handler: Handler
    parameters: Parameters
    prepare: Callable[[Form], tuple[Form, Params]] | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """What one module adds to the API: a collection, its endpoints, and which fields can be expanded.

    `expandable` maps a field to the collection its id leads to, or to None when the field is only included on demand.
    """

    collection: str
    kind: str
    endpoints: tuple[Endpoint, ...]
    expandable: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """The endpoint that a URL leads to, the ids in the URL, and the kind of object that it answers."""

    endpoint: Endpoint
    kind: str
    ids: tuple[str, ...]

    @property
    def answers_list(self) -> bool:
        """Whether the endpoint answers a list of objects instead of one."""
        return self.endpoint.method == "GET" and not self.endpoint.template.endswith("{id}")


class Router:
    """Finds the endpoint for a method and path."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._endpoints: dict[tuple[str, tuple[str, ...]], tuple[Endpoint, str]] = {}
        for resource in resources:
            for endpoint in resource.endpoints:
                endpoint.parameters.build()
                self._endpoints[endpoint.method, tuple(endpoint.template.split("/"))] = endpoint, resource.kind

    def find(self, method: str, path: str) -> Match:
        """Answer the endpoint, or raise Stripe's 404. A literal segment wins over an id."""
        segments = path.split("/")
        for wildcards in ((), (3,), (3, 5)):
            if any(place >= len(segments) or not segments[place] for place in wildcards):
                break
            shape = tuple("{id}" if place in wildcards else segment for place, segment in enumerate(segments))
            found = self._endpoints.get((method, shape))
            if found:
                return Match(*found, ids=tuple(segments[place] for place in wildcards))
        raise unrecognized_url(method, path)
