"""Redis over mutual TLS, with each form of the URL; renewed certificates are used without a restart."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from checkout_session.redis_backend.connection import connect
from devstack.certificates import Authority, CertificateFolder
from devstack.embedded_valkey import EmbeddedValkey
from devstack.ports import free_port
from devstack.processes import wait_until
from devstack.tls_proxy import TlsProxy
from servicekit.certificates import Certificates, TlsFiles
from tests.containers.choice import RedisServer

from ..harness import GENEROUS, UNAVAILABLE, Stub, get, new_request, refusal, run_service

HOLDER = "checkout-session"
SHORT = {"redis_timeout_seconds": 0.5, "store_timeout_seconds": 0.5}


@pytest.fixture
def certs(tmp_path: Path) -> CertificateFolder:
    """Return certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@pytest.fixture
def proxy(valkey: RedisServer, certs: CertificateFolder) -> Iterator[TlsProxy]:
    """Terminate TLS in front of Valkey, which is built without it."""
    with TlsProxy(valkey.port, certs, "redis") as opened:
        yield opened


@pytest.fixture
def url(valkey: RedisServer, proxy: TlsProxy) -> str:
    """Return the encrypted URL."""
    return f"rediss://:{valkey.password}@127.0.0.1:{proxy.port}/0"


def _settings(certs: CertificateFolder) -> dict[str, str]:
    return {
        "redis_tls_ca_file": str(certs.authorities),
        "redis_tls_cert_file": str(certs.certificate_of(HOLDER)),
        "redis_tls_key_file": str(certs.key_of(HOLDER)),
    }


def _serial(certs: CertificateFolder) -> str:
    number = x509.load_pem_x509_certificate(certs.certificate_of(HOLDER).read_bytes()).serial_number
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"


async def _require_attempts_stored(channel: grpc.aio.Channel) -> None:
    stub, request = Stub(channel), new_request()
    await stub.SaveAttempt(request, timeout=10)
    found = await stub.GetAttempt(get(request.attempt_id), timeout=10)
    assert found.attempt.context == request.context


async def test_one_server_over_tls(url: str, proxy: TlsProxy, certs: CertificateFolder) -> None:
    """A server that requires a certificate is shown the service's."""
    async with run_service(url, **_settings(certs)) as channel:
        await _require_attempts_stored(channel)

    assert set(proxy.client_serials) == {_serial(certs)}


async def test_a_cluster_over_tls(certs: CertificateFolder) -> None:
    """The nodes that the cluster announces are connected with TLS too."""
    announced = free_port()
    options = {
        "cluster-enabled": "yes",
        "cluster-announce-ip": "127.0.0.1",
        "cluster-announce-port": str(announced),
        "cluster-port": str(free_port()),
    }
    with ExitStack() as running:
        node = running.enter_context(EmbeddedValkey.temporary(appendonly=False, options=options))
        proxy = running.enter_context(TlsProxy(node.port, certs, "redis", port=announced))
        node.execute("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await asyncio.to_thread(wait_until, lambda: _is_healthy(node), "the node serves every slot", seconds=30)

        async with run_service(
            f"rediss+cluster://:{node.password}@localhost:{proxy.port}", **_settings(certs)
        ) as channel:
            await _require_attempts_stored(channel)

        assert len(proxy.client_serials) > 1


def _is_healthy(node: EmbeddedValkey) -> bool:
    info: Any = node.execute("CLUSTER", "INFO")
    return "cluster_state:ok" in (info.decode() if isinstance(info, bytes) else str(info))


async def test_sentinels_over_tls(valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder) -> None:
    """The Sentinels are asked with TLS, and so is the primary that they name."""
    async with _sentinel(primary_port=proxy.port) as port:
        with TlsProxy(port, certs, "redis") as sentinel_proxy:
            url = f"rediss+sentinel://:{valkey.password}@127.0.0.1:{sentinel_proxy.port}/main"
            async with run_service(url, **_settings(certs)) as channel:
                await _require_attempts_stored(channel)

    assert set(proxy.client_serials) == set(sentinel_proxy.client_serials) == {_serial(certs)}


@asynccontextmanager
async def _sentinel(*, primary_port: int) -> AsyncIterator[int]:
    """Answer as a Sentinel that knows a primary at a port. A real one would not see it through a proxy."""
    fields = f"name main ip 127.0.0.1 port {primary_port} flags master num-other-sentinels 0".split()
    reply = f"*1\r\n*{len(fields)}\r\n" + "".join(f"${len(field)}\r\n{field}\r\n" for field in fields)
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(4096):
            for command in re.findall(rb"\*\d+\r\n(?:\$\d+\r\n[^\r]*\r\n)+", received):
                writer.write(reply.encode() if b"MASTERS" in command.upper() else b"+OK\r\n")
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("fault", ["other-name", "other-authority", "plaintext"])
async def test_a_server_without_the_right_certificate_receives_nothing(
    url: str, valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder, fault: str
) -> None:
    """A certificate for another name or of an unknown authority; and no password goes to a server without TLS."""
    authority = Authority() if fault == "other-authority" else certs.authority()
    certs.put("redis", authority.issue("redis", ["redis.elsewhere.example" if fault == "other-name" else "127.0.0.1"]))
    address = url.replace(f":{proxy.port}/", f":{valkey.port}/") if fault == "plaintext" else url
    settings = _settings(certs)
    async with run_service(address, **SHORT, **settings) as channel:
        error = await refusal(Stub(channel).SaveAttempt(new_request(), timeout=10))

    assert error == UNAVAILABLE
    assert proxy.client_serials == []


async def test_connections_use_the_renewed_certificate_at_their_next_use(
    url: str, proxy: TlsProxy, certs: CertificateFolder
) -> None:
    """The pooled connection is used once more at most, and no command fails."""
    files = TlsFiles(certs.certificate_of(HOLDER), certs.key_of(HOLDER), certs.authorities)
    async with connect(url, GENEROUS, Certificates("redis", files, check_interval_seconds=0)) as client:
        await client.ping()
        before = _serial(certs)

        certs.renew()
        for _ in range(3):
            await client.ping()

    assert proxy.client_serials == [before, _serial(certs)]
