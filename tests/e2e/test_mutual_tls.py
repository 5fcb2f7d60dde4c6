"""The whole system with mutual TLS everywhere: it sells, renews certificates under load, and lets in nobody else."""

import asyncio
import json
import ssl
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import grpc
import pytest
import pytest_asyncio
import redis.asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from devstack.certificates import Authority, CertificateFolder, KeyPair
from devstack.stack_options import StackOptions

from .conftest import until
from .deadlines import AT_LEISURE
from .harness.system import System, running_system

BUYERS: Final = 4
STEP_SECONDS: Final = 60.0
USES: Final = {"gateway": ["grpc"], "checkout-session": ["grpc", "redis"], "orders": ["grpc", "postgres", "postgres"]}
"""What each process has certificates for; orders has a second connection to its database, for readiness."""
DOORS: Final = ("checkout-session", "orders", "redis", "postgres")
STRANGERS: Final = ("plaintext", "without", "expired", "other-authority")


@dataclass(frozen=True)
class Fortress:
    """A system that speaks only mutual TLS, and its certificates."""

    system: System
    certs: CertificateFolder

    def port_of(self, door: str) -> int:
        """Return where a service, or the TLS in front of a store, listens."""
        if door in USES:
            addresses = {
                "checkout-session": self.system.backend.addresses.checkout_session,
                "orders": self.system.backend.addresses.orders,
            }
            return int(addresses[door].rpartition(":")[2])
        return urlsplit(self.url_of(door)).port or 0

    def url_of(self, store: str) -> str:
        """Return the URL that a store's service was told."""
        service, setting = {"redis": ("checkout-session", "REDIS_URL"), "postgres": ("orders", "DATABASE_URL")}[store]
        return self.system.backend.settings_of(service)[setting]


@dataclass
class Market:
    """Buyers who buy, one purchase after another, until they are sent home."""

    fortress: Fortress
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    """How often what came of a purchase: the status of initiate, that of coming back, and what it said."""

    async def buy_until_closed(self) -> None:
        """Buy as one buyer. Nothing that goes wrong is raised: it is counted."""
        async with self.fortress.system.shop() as shop:
            while not self.closed.is_set():
                begun = await shop.initiate(self.fortress.system.cart(mug=1))
                if begun.status != 200:
                    self.outcomes[begun.status, 0, begun.problem] += 1
                    continue
                checkout = shop.opened(begun)
                (await shop.pay(checkout)).ok()
                reply = await shop.come_back(checkout)
                self.outcomes[begun.status, reply.status, reply.body.get("status") or reply.problem] += 1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fortress(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fortress]:
    """Run a system with mutual TLS everywhere."""
    home = tmp_path_factory.mktemp("fortress")
    async with running_system(
        home, options=StackOptions(tls=True, durable=False, seed=7, settings=AT_LEISURE)
    ) as system:
        yield Fortress(system, CertificateFolder(home / "certs"))


@pytest.mark.timeout(300)  # its steps have deadlines of their own
async def test_no_checkout_fails_while_every_certificate_and_their_authority_are_replaced(fortress: Fortress) -> None:
    """A new authority is trusted, everything is signed by it, the old one is dropped; buyers notice nothing."""
    async with _open_market(fortress) as market:
        await until(_sells(market), "the first purchases", seconds=STEP_SECONDS)
        for replace in (fortress.certs.add_authority, fortress.certs.renew, fortress.certs.keep_newest_authority):
            before, step = _renewals(fortress.system), replace.__name__
            replace()
            await until(_renewed_everywhere(fortress.system, before), f"reading after {step}", seconds=STEP_SECONDS)
            await until(_sells(market), f"purchases after {step}", seconds=STEP_SECONDS)

    assert set(market.outcomes) == {(200, 200, "completed")}
    assert "UNAVAILABLE" not in fortress.system.backend.log_of("gateway")


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("door", DOORS)
async def test_who_has_no_good_certificate_gets_nothing(fortress: Fortress, door: str, stranger: str) -> None:
    """Without one, with one that has ended, of a strange authority, in plaintext: no answer, not even to a ping."""
    with pytest.raises(Exception) as refused:  # noqa: PT011 - each client has its own, looked at below
        await _knock(fortress, door, _pair_of(fortress.certs, stranger), encrypted=stranger != "plaintext")

    assert _is_cut_off(refused.value), repr(refused.value)


@pytest.mark.parametrize("door", DOORS)
async def test_who_has_a_good_certificate_is_let_in(fortress: Fortress, door: str) -> None:
    """So that the test above shows what it seems to."""
    await _knock(fortress, door, fortress.certs.authority().issue("payments-gateway"), encrypted=True)


async def test_another_service_may_not_call_orders(fortress: Fortress) -> None:
    """Its certificate is of the authority, but nobody named it."""
    stolen = KeyPair(
        fortress.certs.certificate_of("checkout-session").read_bytes(),
        fortress.certs.key_of("checkout-session").read_bytes(),
    )
    async with _channel(fortress, "orders", stolen, encrypted=True) as channel:
        stub: Any = orders_pb2_grpc.OrdersServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListOrders(orders_pb2.ListOrdersRequest(user_id="user-1"), timeout=5)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@asynccontextmanager
async def _open_market(fortress: Fortress) -> AsyncIterator[Market]:
    market = Market(fortress)
    buyers = [asyncio.create_task(market.buy_until_closed()) for _ in range(BUYERS)]
    try:
        yield market
    finally:
        market.closed.set()
        await asyncio.gather(*buyers)


def _sells(market: Market) -> Any:
    """Return whether more purchases were made since now than there are buyers."""
    enough = market.outcomes.total() + 2 * BUYERS

    async def holds() -> bool:
        return market.outcomes.total() >= enough

    return holds


def _renewals(system: System) -> dict[str, Counter[str]]:
    """Return how often each process took renewed certificates, by use."""
    return {name: Counter(_taken(system.backend.log_of(name))) for name in USES}


def _taken(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["use"] for line in lines if line["message"] == "certificate renewed"]


def _renewed_everywhere(system: System, before: dict[str, Counter[str]]) -> Any:
    async def holds() -> bool:
        taken = _renewals(system)
        return all(taken[name] >= before[name] + Counter(uses) for name, uses in USES.items())

    return holds


def _pair_of(certs: CertificateFolder, stranger: str) -> KeyPair | None:
    if stranger == "expired":
        return certs.authority().issue("payments-gateway", ends=datetime.now(UTC) - timedelta(minutes=1))
    return Authority().issue("payments-gateway") if stranger == "other-authority" else None


async def _knock(fortress: Fortress, door: str, pair: KeyPair | None, *, encrypted: bool) -> None:
    """Ask for the least that a service or store answers, as a client with a certificate or without."""
    if door == "redis":
        await _ping_redis(fortress, pair, encrypted=encrypted)
    elif door == "postgres":
        await _ping_postgres(fortress, pair, encrypted=encrypted)
    else:
        async with _channel(fortress, door, pair, encrypted=encrypted) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            await health.Check(health_pb2.HealthCheckRequest(), timeout=5)


def _channel(fortress: Fortress, door: str, pair: KeyPair | None, *, encrypted: bool) -> grpc.aio.Channel:
    address = f"127.0.0.1:{fortress.port_of(door)}"
    if not encrypted:
        return grpc.aio.insecure_channel(address)
    key, certificate = (pair.key, pair.certificate) if pair else (None, None)
    trusted = fortress.certs.authorities.read_bytes()
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted, key, certificate))


async def _ping_redis(fortress: Fortress, pair: KeyPair | None, *, encrypted: bool) -> None:
    address = urlsplit(fortress.url_of("redis"))
    with tempfile.TemporaryDirectory() as folder:
        shown = {} if pair is None else dict.fromkeys(("ssl_certfile", "ssl_keyfile"), _as_file(pair, folder))
        tls: dict[str, Any] = (
            {"ssl": True, "ssl_ca_certs": str(fortress.certs.authorities), **shown} if encrypted else {}
        )
        never = Retry(NoBackoff(), 0)
        client: Any = redis.asyncio.Redis(
            host="127.0.0.1", port=address.port or 0, password=address.password, socket_timeout=5, retry=never, **tls
        )
        async with client:
            await client.ping()


async def _ping_postgres(fortress: Fortress, pair: KeyPair | None, *, encrypted: bool) -> None:
    address = urlsplit(fortress.url_of("postgres"))._replace(query="")
    with tempfile.TemporaryDirectory() as folder:
        context = ssl.create_default_context(cafile=fortress.certs.authorities)
        if pair is not None:
            context.load_cert_chain(_as_file(pair, folder))
        session = await asyncpg.connect(address.geturl(), ssl=context if encrypted else "disable", timeout=5)
        await session.close()


def _as_file(pair: KeyPair, folder: str) -> str:
    path = Path(folder) / "pair.pem"
    path.write_bytes(pair.certificate + pair.key)
    return str(path)


def _is_cut_off(failure: Exception) -> bool:
    """Whether a failure is a connection that was refused or cut, and not an answer."""
    if isinstance(failure, grpc.aio.AioRpcError):
        return failure.code() is grpc.StatusCode.UNAVAILABLE
    return isinstance(failure, OSError | redis.ConnectionError | asyncpg.exceptions.ConnectionDoesNotExistError)
