"""A search for private values in every place that they must not reach."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import aiohttp

from .canaries import Canary, as_bytes, found_in
from .system import System

_FIRST_ERROR = 400


class Place(Enum):
    """A place that is searched."""

    LOGS = "logs"
    METRICS = "metrics"
    HTTP_ERRORS = "HTTP errors"
    GRPC_ERRORS = "gRPC refusals"
    STRIPE_REQUESTS = "requests to Stripe"
    COMMAND_LINES = "command lines"


@dataclass
class LeakWatch:
    """Searches the output of a system's processes."""

    system: System
    metrics_urls: Iterable[str]
    http_errors: list[bytes] = field(default_factory=list)
    """Bodies and headers of the gateway's refusals, as the clients got them."""

    async def leaks(self, canaries: Iterable[Canary], allowed: Mapping[str, set[Place]]) -> dict[str, set[str]]:
        """Return the names of the canaries that are in a place where they are not allowed, by place."""
        surfaces = {
            Place.LOGS: as_bytes(self.system.backend.logs()),
            Place.METRICS: b"".join([await _read(url) for url in self.metrics_urls]),
            Place.HTTP_ERRORS: b"\n".join(self.http_errors),
            Place.GRPC_ERRORS: b"\n".join(
                [*self.system.proxies.checkout_session.refusals, *self.system.proxies.orders.refusals]
            ),
            Place.STRIPE_REQUESTS: b"\n".join(
                call.name.encode() + as_bytes(dict(call.headers)) + call.body
                for call in self.system.proxies.stripe_api.interceptor.calls
            ),
            Place.COMMAND_LINES: b"\n".join(self._of_processes("cmdline").values()),
        }
        found = {
            place.value: {name for name in found_in(surface, canaries) if place not in allowed.get(name, set())}
            for place, surface in surfaces.items()
        }
        return {place: names for place, names in found.items() if names}

    async def in_database(self, canaries: Iterable[Canary]) -> set[str]:
        """Return the names of the canaries that any table of orders contains."""
        return found_in(as_bytes(await self.system.orders_db.dump()), canaries)

    def environments(self) -> dict[str, bytes]:
        """Return the environment of every process, by its name."""
        return self._of_processes("environ")

    def observe(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Keep a refusal of the gateway."""
        if status >= _FIRST_ERROR:
            self.http_errors.append(body + b"\n" + as_bytes(list(headers.items())))

    def _of_processes(self, file: str) -> dict[str, bytes]:
        return {name: Path(f"/proc/{pid}/{file}").read_bytes() for name, pid in self.system.backend.pids().items()}


async def _read(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()
