"""The stack that is measured: as in production, but on one machine, with simulated Stripe, and without TLS."""

import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.generator import ROOT, Generator
from bench.job import Attempt, Job, Kind
from devstack.json_http import send, send_json
from devstack.layout import Home
from devstack.stack import ORDERS_DATABASE, Stack, replica_names
from devstack.stack_options import StackOptions

SERVICES: Final = ("gateway", "checkout-session", "orders")
"""The three services whose processor time counts."""
PROCESSES: Final = (*SERVICES, "reconciler")
_PRODUCTION: Final = {"ENVIRONMENT": "production"}
_PUBLIC: Final = {"STRIPE_JS_URL": "https://js.stripe.com/endive/stripe.js", "CORS_ORIGINS": "https://shop.example"}
"""Addresses that production requires to be https. Nothing is loaded from them."""
_IDLE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5
_CODE: Final = ("libs", "services")
_CONTACT: Final = {"name": "Ada Example", "email": "ada@example.com", "phone": "+15550100"}
_ADDRESS: Final = {
    "line1": "1 Harbour Street",
    "city": "Portland",
    "state": "OR",
    "postalCode": "97201",
    "country": "US",
}


@dataclass(frozen=True, slots=True)
class Code:
    """Code that the services run."""

    name: str
    folder: Path | None = None
    """A checkout, or None for this one."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a service runs this code, on the packages that are installed here."""
        if self.folder is None:
            return {}
        sources = sorted(str(path) for part in _CODE for path in self.folder.glob(f"{part}/*/src"))
        if not sources:
            raise ValueError(f"{self.folder} is no checkout of this repository")
        return {"PYTHONPATH": os.pathsep.join(sources)}


def kind_of(process: str) -> str:
    """Return the name without the number of a replica."""
    return re.sub(r"-\d+$", "", process)


class BenchStack:
    """A running stack, with the load generator that all stacks of a run share."""

    def __init__(self, stack: Stack, generator: Generator) -> None:
        self.stack = stack
        self.generator = generator
        facts = stack.facts
        self._stripe_api = facts.stripe_api
        self._control = f"{facts.stripe_api}/_simulator"
        self._facts = facts
        self.event, self.event_of = self._paid_event()

    def cart(self, *slugs: str) -> dict[str, Any]:
        """Return the body of a checkout of these products of the sample shop, one of each."""
        prices, rates = self.stack.catalogue.prices, self.stack.catalogue.shipping_rates
        return {
            "items": [{"priceId": prices[slug], "quantity": 1} for slug in slugs],
            "contact": _CONTACT,
            "shippingAddress": _ADDRESS,
            "shippingOptionId": rates["standard"],
        }

    @property
    def signed_in(self) -> dict[str, Any]:
        """Options of jobs whose buyers are signed in."""
        return {"jwt_secret": self._facts.jwt_secret}

    def job(self, kind: Kind, count: int, **options: Any) -> Job:
        """Return a job at this stack."""
        return Job(
            kind=kind,
            gateways=self._facts.gateways,
            count=count,
            **{
                "cart": self.cart("mug", "notebook"),
                "stripe_api": self._stripe_api,
                "publishable_key": self._facts.stripe_publishable_key,
                "event": self.event,
                "event_of": self.event_of,
                "webhook_secret": self._facts.webhook_secret,
                **options,
            },
        )

    @property
    def pids(self) -> dict[str, int]:
        """Process id by name, of those that run."""
        return {name: process.pid for name, process in self.stack.processes.items() if process.running}

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the simulator's control API. Raises RuntimeError unless it answers with 200."""
        answer = (
            send(method, f"{self._control}/{path}", seconds=_IDLE_SECONDS + 10)
            if body is None
            else send_json(method, f"{self._control}/{path}", body)
        )
        if answer.status != 200:  # noqa: PLR2004 - the status of success
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body}")
        return answer.body

    def until_delivered(self) -> None:
        """Wait until the simulator delivers no webhook any more."""
        self.control("GET", f"webhooks/idle?timeout={_IDLE_SECONDS}")

    def sell(self, count: int) -> None:
        """Put so many more prices on sale, and wait until the gateway sells them. Raises TimeoutError."""
        client = self.stack.stripe.client()
        product = client.v1.products.create({"name": "Print"})
        for number in range(count):
            client.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 1000 + number})
        deadline = time.monotonic() + _IDLE_SECONDS
        while len(send("GET", f"{self._facts.gateway}/api/catalog").body["items"]) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} prices are not on sale after {_IDLE_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def redis_bytes(self) -> int:
        """Return the memory that Redis uses for data, without the buffers of its clients and of its log."""
        memory = self.stack.valkey.execute("INFO", "memory")
        return int(memory["used_memory"]) - int(memory["mem_clients_normal"]) - int(memory["mem_aof_buffer"])

    def postgres_rows(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").split()
        return {table: int(self.sql(f"SELECT count(*) FROM {table}")) for table in tables}  # noqa: S608 - its tables

    def wal_bytes(self) -> int:
        """Return the bytes of write-ahead log since the database was created."""
        return int(self.sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def sql(self, statement: str) -> str:
        """Run statements on the database of orders."""
        return self.stack.postgres.run_sql(statement, ORDERS_DATABASE)

    def _paid_event(self) -> tuple[str, Attempt]:
        """Buy once, and return Stripe's event with the checkout that it reports."""
        attempt = self.generator.run(Job("initiate", self._facts.gateways, 1, cart=self.cart("mug", "notebook")))[
            0
        ].attempts[0]
        self.control("POST", f"payment_intents/{attempt.intent_id}/pay", {})
        self.until_delivered()
        listed = send(
            "GET",
            f"{self._stripe_api}/v1/events?type=payment_intent.succeeded",
            headers={"Authorization": f"Bearer {self._facts.stripe_secret_key}"},
        )
        return json.dumps(listed.body["data"][0], separators=(",", ":")), attempt


@contextmanager
def running(
    generator: Generator, code: Code = Code("this"), *, gateways: int = 1, replicas: int = 1, reconcilers: int = 1
) -> Iterator[BenchStack]:
    """Run the stack with this code in a temporary folder: with durability, logs and metrics, and without rate limits.

    The limits are those of Stripe's sandboxes and of one buyer's address: all load comes from one.
    """
    processes = {
        name: replica_names(name, count)
        for name, count in (
            ("gateway", gateways),
            ("checkout-session", replicas),
            ("orders", replicas),
            ("reconciler", reconcilers),
        )
    }
    options = StackOptions(
        gateways=gateways,
        replicas=replicas,
        reconcilers=reconcilers,
        seed=1,
        rate_limits=False,
        settings={
            name: _PRODUCTION | (_PUBLIC if kind in ("gateway", "reconciler") else {})
            for kind, names in processes.items()
            for name in names
        },
        environment={
            **{name: code.environment for names in processes.values() for name in names},
            # It is the same for all, and checks nothing: its time is not ours.
            "stripe-simulator": {"STRIPE_SIMULATOR_PUBLISHED_TYPES": ""},
        },
    )
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        Path(folder).chmod(0o711)
        with Stack(Home(Path(folder)), options=options) as stack:
            try:
                yield BenchStack(stack, generator)
            finally:
                stack.postgres.destroy()


@contextmanager
def checked_out(base: str) -> Iterator[Code]:
    """Return the code of a folder, or of a commit of this repository, which is unpacked for as long as it is used."""
    if Path(base).is_dir():
        yield Code(base, Path(base).resolve())
        return
    commit = _git("rev-parse", "--short", f"{base}^{{commit}}").decode().strip()
    with tempfile.TemporaryDirectory(prefix="holdfast-base-") as folder:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit, *_CODE))) as archive:
            archive.extractall(folder, filter="data")
        yield Code(commit, Path(folder))


def _git(*words: str) -> bytes:
    answer = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    if answer.returncode:
        raise ValueError(f"git {words[0]}: {answer.stderr.decode(errors='replace').strip()}")
    return answer.stdout
