"""Job of the load generator, and its result. Both travel as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["initiate", "webhook", "checkout", "status", "catalogue"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A checkout that was begun."""

    attempt_id: str
    client_secret: str = field(repr=False)

    @property
    def intent_id(self) -> str:
        """The intent's id, with which its client secret begins."""
        return self.client_secret.partition("_secret_")[0]


@dataclass(frozen=True, slots=True)
class Job:
    """Requests to send: `count` of them, at a constant rate or with a constant number in flight."""

    kind: Kind
    gateways: Sequence[str]
    """http URLs, which requests go to in turn."""
    count: int
    rate: float | None = None
    """Arrivals a second, however long each is served (open loop). None keeps `concurrency` in flight (closed loop)."""
    concurrency: int = 1
    cart: Mapping[str, Any] = field(default_factory=dict)
    """Body of initiate-checkout."""
    jwt_secret: str = field(default="", repr=False)
    """Secret of the buyers' tokens: each request has a buyer of its own. Empty for guests."""
    stripe_api: str = ""
    publishable_key: str = ""
    attempts: Sequence[Attempt] = ()
    """Checkouts to report or to look at, in turn."""
    event: str = ""
    """The webhook that reported the payment of `event_of`, which each report repeats with the ids of its checkout."""
    event_of: Attempt | None = None
    webhook_secret: str = field(default="", repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Job":
        """Return the job that `as_json` wrote."""
        event_of = given["event_of"] and Attempt(**given["event_of"])
        return cls(**{**given, "attempts": [Attempt(**each) for each in given["attempts"]], "event_of": event_of})


@dataclass(frozen=True, slots=True)
class Result:
    """Answers to a job."""

    outcomes: Mapping[str, int]
    """Number of answers by status, or by the name of an exception."""
    latency_ms: Mapping[str, float]
    """Percentiles of the successes: from the intended start in an open loop, from the start in a closed one."""
    refusal_latency_ms: Mapping[str, float]
    """The same of the other answers."""
    late_ms: Mapping[str, float]
    """Delay of the starts themselves: large if the generator could not keep up."""
    successes_by_second: Sequence[int]
    """Successes in each second since the start."""
    seconds: float
    """Time from the first intended start to the last answer."""
    generator_cpu_seconds: float
    histogram: str
    """The successes as an HdrHistogram in microseconds, base64."""
    attempts: Sequence[Attempt]
    """Checkouts that were begun and neither paid nor reported."""

    @property
    def successes(self) -> int:
        """Number of answers with status 200."""
        return self.outcomes.get("200", 0)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Result":
        """Return the result that the generator wrote."""
        return cls(**{**given, "attempts": [Attempt(**each) for each in given["attempts"]]})

    def without_bulk(self) -> dict[str, Any]:
        """Return it as JSON for a file, without the checkouts."""
        return {name: value for name, value in asdict(self).items() if name != "attempts"}
