"""The running system that receives the inputs."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import jwt

from devstack import json_http
from devstack.layout import Home
from devstack.stack import Stack
from devstack.stack_options import StackOptions
from tests.e2e.harness.shop import ADDRESS, CONTACT

SERVICES: Final = ("checkout-session", "orders", "gateway")
INITIATE: Final = "/api/stripe/initiate-checkout"
_OPEN_CHECKOUTS: Final = 4
_LOST_ATTEMPTS: Final = 8
_TOKEN_EXPIRES_AT: Final = 2**33

Announced = defaultdict[str, set[str]]
"""Keys of the records that may be stored according to the responses, by kind."""


@dataclass(frozen=True)
class FuzzedSystem:
    """A stack with clients, a few open checkouts, and the records that responses announced."""

    stack: Stack
    session_channel: grpc.Channel
    orders_channel: grpc.Channel
    open_checkouts: tuple[tuple[str, str], ...]
    """Attempt and intent of a guest's unpaid checkouts."""
    lost_attempts: tuple[str, ...]
    """Ids of ours whose attempts were lost: those of anybody else reach no service."""
    authorization: bytes
    """Header value of a signed-in user."""
    announced: Announced = field(default_factory=lambda: defaultdict(set))
    decided_payments: set[str] = field(default_factory=set)
    """Intents with an answered decision, which must be stored."""

    def announce(self, key: str, *kinds: str) -> None:
        """Allow records with this key."""
        for kind in kinds:
            self.announced[kind].add(key)

    @property
    def gateway(self) -> str:
        """The gateway's host:port."""
        return self.stack.gateways[0].address

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the services. The simulator and the databases may grow: they store what they are sent."""
        return {name: self.stack.processes[name].pid for name in SERVICES}

    @property
    def logs(self) -> Mapping[str, Path]:
        """Log files by process name."""
        return {name: self.stack.home.log_of(name) for name in (*SERVICES, "stripe-simulator")}


@contextmanager
def run_system(folder: Path) -> Iterator[FuzzedSystem]:
    """Run the system during the block; remove its data afterwards."""
    options = StackOptions(durable=False, seed=1, rate_limits=False)
    stack = Stack(Home(folder), options=options)
    try:
        with (
            stack,
            grpc.insecure_channel(stack.facts.checkout_session) as session_channel,
            grpc.insecure_channel(stack.facts.orders) as orders_channel,
        ):
            token = jwt.encode({"sub": "user-fuzz", "exp": _TOKEN_EXPIRES_AT}, stack.facts.jwt_secret)
            yield FuzzedSystem(
                stack=stack,
                session_channel=session_channel,
                orders_channel=orders_channel,
                open_checkouts=tuple(_open_checkout(stack) for _ in range(_OPEN_CHECKOUTS)),
                lost_attempts=tuple(_lost_attempt(stack) for _ in range(_LOST_ATTEMPTS)),
                authorization=f"Bearer {token}".encode(),
            )
    finally:
        stack.postgres.destroy()


def initiate_body(stack: Stack) -> dict[str, Any]:
    """Return a valid body of initiate-checkout; its `supersedes` names no attempt."""
    return {
        "items": [{"priceId": stack.catalogue.prices["mug"], "quantity": 2}],
        "contact": CONTACT,
        "shippingAddress": ADDRESS,
        "shippingOptionId": stack.catalogue.shipping_rates["standard"],
        "supersedes": str(uuid.UUID(int=7, version=4)),
    }


def _open_checkout(stack: Stack) -> tuple[str, str]:
    body = initiate_body(stack)
    del body["supersedes"]
    response = json_http.send_json("POST", f"{stack.facts.gateway}{INITIATE}", body)
    intent_id, _, _ = response.body["clientSecret"].partition("_secret_")
    return response.body["checkoutAttemptId"], intent_id


def _lost_attempt(stack: Stack) -> str:
    attempt_id, _ = _open_checkout(stack)
    for key in stack.valkey.execute("KEYS", f"*:attempt:{attempt_id}"):
        stack.valkey.execute("DEL", key)
    return attempt_id
