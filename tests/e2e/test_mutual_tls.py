"""The whole system with mutual TLS: it renews certificates under load and refuses clients without a good one."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from devstack.certificates import Authority, CertificateFolder, KeyPair
from devstack.stack_options import StackOptions

from .conftest import until
from .harness.system import System, running_system
from .timeouts import UNDER_LOAD

BUYERS: Final = 4
STEP_SECONDS: Final = 60.0
USES: Final = {"gateway": ["grpc"], "checkout-session": ["grpc", "redis"], "orders": ["grpc", "postgres", "postgres"]}
"""The connections that a process renews certificates for; orders has two to its database, one for readiness."""
SERVERS: Final = ("checkout-session", "orders")
BAD_CLIENTS: Final = ("plaintext", "without", "expired", "other-authority")


@dataclass(frozen=True)
class TlsSystem:
    """A system that speaks only mutual TLS, with its certificates."""

    system: System
    certs: CertificateFolder

    def address_of(self, server: str) -> str:
        """Return a service's address."""
        addresses = self.system.backend.addresses
        return addresses.orders if server == "orders" else addresses.checkout_session


@dataclass
class Buyers:
    """Buyers who make one purchase after another until they are stopped."""

    system: System
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    """Counts of results: status of initiate, status of complete, and the purchase's status or problem."""

    async def buy_until_stopped(self) -> None:
        """Buy as one buyer; a failure is counted, not raised."""
        async with self.system.shop() as shop:
            while not self.stopped.is_set():
                begun = await shop.initiate(self.system.cart(mug=1))
                if begun.status != 200:
                    self.outcomes[begun.status, 0, begun.problem] += 1
                    continue
                checkout = shop.granted(begun)
                (await shop.pay(checkout)).ok()
                reply = await shop.complete(checkout)
                self.outcomes[begun.status, reply.status, reply.body.get("status") or reply.problem] += 1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tls_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsSystem]:
    """Run a system with mutual TLS between all processes."""
    home = tmp_path_factory.mktemp("holdfast")
    async with running_system(
        home, options=StackOptions(tls=True, durable=False, seed=7, settings=UNDER_LOAD)
    ) as system:
        yield TlsSystem(system, CertificateFolder(home / "certs"))


@pytest.mark.timeout(300)  # its steps have deadlines of their own
async def test_no_checkout_fails_while_every_certificate_and_their_authority_are_replaced(
    tls_system: TlsSystem,
) -> None:
    """A new authority is added, signs every certificate, and replaces the old one; no purchase fails."""
    async with _buying(tls_system.system) as buyers:
        await until(_more_purchases(buyers), "the first purchases", seconds=STEP_SECONDS)
        for replace in (tls_system.certs.add_authority, tls_system.certs.renew, tls_system.certs.keep_newest_authority):
            before, step = _renewals(tls_system.system), replace.__name__
            replace()
            await until(_renewed_everywhere(tls_system.system, before), f"reading after {step}", seconds=STEP_SECONDS)
            await until(_more_purchases(buyers), f"purchases after {step}", seconds=STEP_SECONDS)

    assert set(buyers.outcomes) == {(200, 200, "completed")}
    assert "UNAVAILABLE" not in tls_system.system.backend.log_of("gateway")


@pytest.mark.parametrize("client", BAD_CLIENTS)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_without_a_good_certificate_gets_nothing(
    tls_system: TlsSystem, server: str, client: str
) -> None:
    """Plaintext, no certificate, an expired one, or one of another authority: not even a health check is answered."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _check_health(tls_system, server, _pair_of(tls_system.certs, client), encrypted=client != "plaintext")

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_with_a_good_certificate_is_answered(tls_system: TlsSystem, server: str) -> None:
    """The same call succeeds, so the refusals of the test above are due to the certificate."""
    await _check_health(tls_system, server, tls_system.certs.authority().issue("payments-gateway"), encrypted=True)


async def test_another_service_may_not_call_orders(tls_system: TlsSystem) -> None:
    """The certificate of checkout-session is valid, and orders does not name it as a caller."""
    pair = KeyPair(
        tls_system.certs.certificate_of("checkout-session").read_bytes(),
        tls_system.certs.key_of("checkout-session").read_bytes(),
    )
    async with _channel(tls_system, "orders", pair, encrypted=True) as channel:
        stub: Any = orders_pb2_grpc.OrdersServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListOrders(orders_pb2.ListOrdersRequest(user_id="user-1"), timeout=5)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@asynccontextmanager
async def _buying(system: System) -> AsyncIterator[Buyers]:
    buyers = Buyers(system)
    tasks = [asyncio.create_task(buyers.buy_until_stopped()) for _ in range(BUYERS)]
    try:
        yield buyers
    finally:
        buyers.stopped.set()
        await asyncio.gather(*tasks)


def _more_purchases(buyers: Buyers) -> Any:
    """Return a condition: each buyer has finished a purchase that was begun from now on."""
    enough = buyers.outcomes.total() + 2 * BUYERS

    async def holds() -> bool:
        return buyers.outcomes.total() >= enough

    return holds


def _renewals(system: System) -> dict[str, Counter[str]]:
    """Return the numbers of renewed certificates by process and use."""
    return {name: Counter(_renewed(system.backend.log_of(name))) for name in USES}


def _renewed(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["use"] for line in lines if line["message"] == "certificate renewed"]


def _renewed_everywhere(system: System, before: dict[str, Counter[str]]) -> Any:
    async def holds() -> bool:
        now = _renewals(system)
        return all(now[name] >= before[name] + Counter(uses) for name, uses in USES.items())

    return holds


def _pair_of(certs: CertificateFolder, client: str) -> KeyPair | None:
    if client == "expired":
        return certs.authority().issue("payments-gateway", ends=datetime.now(UTC) - timedelta(minutes=1))
    return Authority().issue("payments-gateway") if client == "other-authority" else None


async def _check_health(tls_system: TlsSystem, server: str, pair: KeyPair | None, *, encrypted: bool) -> None:
    async with _channel(tls_system, server, pair, encrypted=encrypted) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=5)


def _channel(tls_system: TlsSystem, server: str, pair: KeyPair | None, *, encrypted: bool) -> grpc.aio.Channel:
    address = tls_system.address_of(server)
    if not encrypted:
        return grpc.aio.insecure_channel(address)
    key, certificate = (pair.key, pair.certificate) if pair else (None, None)
    trusted = tls_system.certs.authorities.read_bytes()
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted, key, certificate))
