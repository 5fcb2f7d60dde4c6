"""Looks at every place to which nothing private may get, and tells what it finds there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp

from .canaries import Canary, as_bytes, found_in
from .shop import Reply, Shop
from .system import System

_FIRST_ERROR = 400


class Place(Enum):
    """Where something may turn up."""

    ORDERS_DATABASE = "orders database"
    LOGS = "logs"
    METRICS = "metrics"
    HTTP_ERRORS = "HTTP error answers"
    GRPC_ERRORS = "gRPC refusals"
    STRIPE_REQUESTS = "requests to Stripe"
    COMMAND_LINES = "command lines"


@dataclass
class Watch:
    """Sees what a system's processes tell anybody."""

    system: System
    metrics_urls: Iterable[str]
    http_errors: list[bytes] = field(default_factory=list)
    """Bodies and headers of refused requests, as the client got them."""

    async def leaks(self, canaries: Iterable[Canary], allowed: Mapping[str, set[Place]]) -> dict[str, set[str]]:
        """Return the canaries that are somewhere they may not be, by place."""
        seen = {
            Place.LOGS: as_bytes(self.system.backend.logs()),
            Place.METRICS: b"".join([await _read(url) for url in self.metrics_urls]),
            Place.HTTP_ERRORS: b"\n".join(self.http_errors),
            Place.GRPC_ERRORS: b"\n".join(self._refusals()),
            Place.STRIPE_REQUESTS: b"\n".join(self._sent_to_stripe()),
            Place.COMMAND_LINES: b"\n".join(_of_processes(self.system, "cmdline").values()),
        }
        found = {
            place.value: {name for name in found_in(surface, canaries) if place not in allowed.get(name, set())}
            for place, surface in seen.items()
        }
        return {place: names for place, names in found.items() if names}

    async def in_database(self, canaries: Iterable[Canary]) -> set[str]:
        """Return the canaries that are in any table of orders."""
        tables = await self.system.books.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await self.system.books.rows(f"SELECT t::text FROM {table['tablename']} t") for table in tables]  # noqa: S608 - its own tables
        return found_in(as_bytes(rows), canaries)

    def environments(self) -> dict[str, bytes]:
        """Return the environment of every process, by its name."""
        return _of_processes(self.system, "environ")

    def note(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Keep what a client was answered, if it was a refusal."""
        if status >= _FIRST_ERROR:
            self.http_errors.append(body + b"\n" + as_bytes(list(headers.items())))

    def _refusals(self) -> list[bytes]:
        return [*self.system.faults.checkout_session.refusals, *self.system.faults.orders.refusals]

    def _sent_to_stripe(self) -> list[bytes]:
        return [
            call.road.encode() + as_bytes(dict(call.headers)) + call.body
            for call in self.system.faults.stripe_api.checkpoint.calls
        ]


class WatchedShop(Shop):
    """A shop whose refusals are noted byte by byte."""

    watch: Watch

    async def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any) -> Reply:
        """Send any request to the gateway, and note a refusal. Headers given here win."""
        signed_in = {} if self.user_id is None else {"Authorization": f"Bearer {self.token(self.user_id)}"}
        all_headers = {**signed_in, **(headers or {})}
        async with self.session.request(method, f"{self.gateway}{path}", headers=all_headers, **rest) as answer:
            self.watch.note(answer.status, await answer.read(), answer.headers)
            try:
                body = await answer.json(content_type=None)
            except ValueError:
                body = None
            return Reply(answer.status, body, answer.headers)


def _of_processes(system: System, fact: str) -> dict[str, bytes]:
    return {name: Path(f"/proc/{pid}/{fact}").read_bytes() for name, pid in system.backend.pids().items()}


async def _read(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()
