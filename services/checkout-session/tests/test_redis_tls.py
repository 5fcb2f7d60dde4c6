"""Redis over mutual TLS, in each form of its address; certificates are followed as they change."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from redis.asyncio import Redis

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_session.redis_backend.connection import connect
from devstack.certificates import Authority, CertificateFolder
from devstack.embedded_valkey import EmbeddedValkey
from devstack.ports import free_port
from devstack.processes import wait_until
from devstack.tls_proxy import TlsProxy
from servicekit.certificates import Certificates, TlsFiles
from tests.containers.choice import RedisServer

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]
HOLDER = "checkout-session"
SHORT = {"redis_timeout_seconds": 0.5, "store_timeout_seconds": 0.5}


@pytest.fixture
def certs(tmp_path: Path) -> CertificateFolder:
    """Give certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@pytest.fixture
def proxy(valkey: RedisServer, certs: CertificateFolder) -> Iterator[TlsProxy]:
    """Stand in front of Valkey and speak TLS for it: it is built without."""
    with TlsProxy(valkey.port, certs, "redis") as opened:
        yield opened


def _encrypted(server: RedisServer, proxy: TlsProxy) -> str:
    return f"rediss://:{server.password}@127.0.0.1:{proxy.port}/0"


def _settings(certs: CertificateFolder) -> dict[str, str]:
    return {
        "redis_tls_ca_file": str(certs.authorities),
        "redis_tls_cert_file": str(certs.certificate_of(HOLDER)),
        "redis_tls_key_file": str(certs.key_of(HOLDER)),
    }


async def _keeps_attempts(channel: grpc.aio.Channel, request: pb.SaveAttemptRequest) -> bool:
    stub: pb_grpc.CheckoutSessionServiceAsyncStub = pb_grpc.CheckoutSessionServiceStub(channel)
    await stub.SaveAttempt(request, timeout=10)
    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id), timeout=10)
    return found.attempt.context == request.context


async def test_attempts_are_kept_over_tls(
    valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder, run_service: RunService, new_request: MakeRequest
) -> None:
    """A server that demands a certificate is shown ours."""
    async with run_service(_encrypted(valkey, proxy), **_settings(certs)) as channel:
        kept = await _keeps_attempts(channel, new_request())

    assert kept
    assert set(proxy.client_serials) == {_serial(certs)}


async def test_attempts_are_kept_in_a_cluster_over_tls(
    certs: CertificateFolder, run_service: RunService, new_request: MakeRequest
) -> None:
    """The nodes that the cluster names are connected to with TLS as well."""
    with ExitStack() as running:
        announced = free_port()
        options = {
            "cluster-enabled": "yes",
            "cluster-announce-ip": "127.0.0.1",
            "cluster-announce-port": str(announced),
        }
        options |= {"cluster-port": str(free_port())}
        node = running.enter_context(EmbeddedValkey.temporary(appendonly=False, options=options))
        proxy = running.enter_context(TlsProxy(node.port, certs, "redis", port=announced))
        node.execute("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await asyncio.to_thread(_await_slots, node)
        url = f"rediss+cluster://:{node.password}@localhost:{proxy.port}"

        async with run_service(url, **_settings(certs)) as channel:
            kept = await _keeps_attempts(channel, new_request())

        assert kept
        assert len(proxy.client_serials) > 1


async def test_attempts_are_kept_behind_sentinel_over_tls(
    valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder, run_service: RunService, new_request: MakeRequest
) -> None:
    """The Sentinels are asked with TLS, and so is the master that they name."""
    async with _sentinel(master_port=proxy.port) as port:
        with TlsProxy(port, certs, "redis") as sentinels_proxy:
            url = f"rediss+sentinel://:{valkey.password}@127.0.0.1:{sentinels_proxy.port}/main"
            async with run_service(url, **_settings(certs)) as channel:
                kept = await _keeps_attempts(channel, new_request())

    assert kept
    assert set(proxy.client_serials) == set(sentinels_proxy.client_serials) == {_serial(certs)}


@pytest.mark.parametrize("fault", ["other-name", "other-authority", "plaintext"])
async def test_a_server_that_is_not_the_one_named_is_told_nothing(
    valkey: RedisServer,
    proxy: TlsProxy,
    certs: CertificateFolder,
    run_service: RunService,
    new_request: MakeRequest,
    fault: str,
) -> None:
    """A certificate for another name or of a strange authority; and no password goes to a server without TLS."""
    settings = _settings(certs)
    authority = Authority() if fault == "other-authority" else certs.authority()
    certs.put("redis", authority.issue("redis", ["redis.elsewhere.example" if fault == "other-name" else "127.0.0.1"]))
    url = _encrypted(valkey, proxy)
    if fault == "plaintext":
        url = url.replace(f":{proxy.port}/", f":{valkey.port}/")
    async with run_service(url, **SHORT, **settings) as channel:
        stub: pb_grpc.CheckoutSessionServiceAsyncStub = pb_grpc.CheckoutSessionServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SaveAttempt(new_request(), timeout=10)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert proxy.client_serials == []


async def test_who_speaks_plaintext_to_an_encrypted_server_gets_nothing(
    valkey: RedisServer, proxy: TlsProxy, run_service: RunService, new_request: MakeRequest
) -> None:
    """So that the tests above show what they seem to."""
    async with run_service(_encrypted(valkey, proxy).replace("rediss", "redis"), **SHORT) as channel:
        stub: pb_grpc.CheckoutSessionServiceAsyncStub = pb_grpc.CheckoutSessionServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SaveAttempt(new_request(), timeout=10)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_connections_take_the_renewed_certificate_at_their_next_use(
    valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder
) -> None:
    """The pooled connection is used once more at most, and no command fails."""
    async with _client(valkey, proxy, certs) as client:
        await client.ping()
        before = _serial(certs)

        certs.renew()
        for _ in range(3):
            await client.ping()

    assert proxy.client_serials == [before, _serial(certs)]


async def test_a_half_replaced_pair_disturbs_no_connection(
    valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder
) -> None:
    """Until the certificate has followed its key, connections are made with the last good pair."""
    async with _client(valkey, proxy, certs) as client:
        await client.ping()
        certs.key_of(HOLDER).write_bytes(certs.authority().issue(HOLDER).key)

        await client.connection_pool.disconnect()
        answered = await client.ping()

    assert answered
    assert proxy.client_serials == [_serial(certs)] * 2


@asynccontextmanager
async def _client(valkey: RedisServer, proxy: TlsProxy, certs: CertificateFolder) -> AsyncIterator[Redis]:
    files = TlsFiles(certs.certificate_of(HOLDER), certs.key_of(HOLDER), certs.authorities)
    certificates = Certificates("redis", files, check_interval_seconds=0)
    url = _encrypted(valkey, proxy)
    async with connect(url, max_connections=4, timeout_seconds=5, certificates=certificates) as client:
        yield client


@asynccontextmanager
async def _sentinel(*, master_port: int) -> AsyncIterator[int]:
    """Answer as a Sentinel does that knows a master at a port. A real one would not see through a proxy."""
    fields = (
        "name",
        "main",
        "ip",
        "127.0.0.1",
        "port",
        str(master_port),
        "flags",
        "master",
        "num-other-sentinels",
        "0",
    )
    known = f"*1\r\n*{len(fields)}\r\n" + "".join(f"${len(field)}\r\n{field}\r\n" for field in fields)

    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(4096):
            for command in re.findall(rb"\*\d+\r\n(?:\$\d+\r\n[^\r]*\r\n)+", asked):
                writer.write(known.encode() if b"MASTERS" in command.upper() else b"+OK\r\n")
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(ended.wait(), 10)


def _await_slots(node: EmbeddedValkey) -> None:
    wait_until(lambda: "cluster_state:ok" in _info(node), "the node serves every slot", seconds=30)


def _info(node: EmbeddedValkey) -> str:
    told: Any = node.execute("CLUSTER", "INFO")
    return told.decode() if isinstance(told, bytes) else str(told)


def _serial(certs: CertificateFolder) -> str:
    number = x509.load_pem_x509_certificate(certs.certificate_of(HOLDER).read_bytes()).serial_number
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"
