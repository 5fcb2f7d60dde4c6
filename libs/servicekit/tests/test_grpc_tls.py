"""gRPC with mutual TLS: a peer without a certificate gets nothing, and renewals lose no call."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack.certificates import Authority, CertificateFolder
from servicekit.certificates import Certificates, TlsFiles
from servicekit.grpc_client import RpcClient, open_channel
from servicekit.grpc_server import GrpcServer, MutualTls
from servicekit.unavailable import ServiceUnavailable

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
CLIENT: Final = "payments-gateway"
IMPATIENT: Final = RpcClient("echo", {}, timeout_seconds=1)
DEADLINE_SECONDS: Final = 20.0


class Certs(CertificateFolder):
    """Certificates in files, and credentials that follow them."""

    def files(self, holder: str) -> TlsFiles:
        """Return a holder's files."""
        return TlsFiles(self.certificate_of(holder), self.key_of(holder), self.authorities)

    def certificates(self, holder: str) -> Certificates:
        """Follow a holder's files, reading them at every use."""
        return Certificates(holder, self.files(holder), check_interval_seconds=0)

    def server(self, **changes: Any) -> MutualTls:
        """Return the TLS of a server."""
        return MutualTls(self.certificates("orders"), **changes)

    def client_pem(self) -> str:
        """Return the client's certificate."""
        return self.certificate_of(CLIENT).read_text()


@pytest.fixture
def certs(tmp_path: Path) -> Certs:
    """Return certificates of a test authority."""
    made = Certs(tmp_path / "certs")
    made.make()
    return made


async def _echo(request: StringValue, _context: Any) -> StringValue:
    return request


async def _answer_certificate(_request: StringValue, context: Any) -> StringValue:
    """Answer with the certificate that the caller showed."""
    (shown,) = context.auth_context()["x509_pem_cert"]
    return StringValue(value=shown.decode())


@pytest.mark.parametrize("method", ["/test.Echo/Say", "/grpc.health.v1.Health/Check"])
@pytest.mark.parametrize("client", ["plaintext", "without", "expired", "other-authority"])
async def test_a_client_without_a_good_certificate_gets_nothing(
    serve: Serve, certs: Certs, client: str, method: str
) -> None:
    """Not the service, and not even health."""
    async with serve(_echo, tls=certs.server()) as server, _bad_channel(client, server.port, certs) as channel:
        call: Any = channel.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"", timeout=20, wait_for_ready=False)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def _bad_channel(client: str, port: int, certs: Certs) -> grpc.aio.Channel:
    address, trusted = f"127.0.0.1:{port}", certs.authorities.read_bytes()
    if client == "plaintext":
        return grpc.aio.insecure_channel(address)
    if client == "without":
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted))
    authority = certs.authority() if client == "expired" else Authority()
    ends = datetime.now(UTC) - timedelta(minutes=1) if client == "expired" else None
    pair = authority.issue(CLIENT, ends=ends)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted, pair.key, pair.certificate))


@pytest.mark.parametrize("fault", ["other-name", "other-authority"])
async def test_a_server_with_a_wrong_certificate_gets_no_call(
    serve: Serve, say_to: SayTo, certs: Certs, fault: str
) -> None:
    """A certificate for another name, or of an authority that is not trusted: nothing is sent."""
    received: list[str] = []

    async def receive(request: StringValue, _context: Any) -> StringValue:
        received.append(request.value)
        return request

    impostor = certs.authority().issue("orders", ["orders.elsewhere.example"])
    if fault == "other-authority":
        impostor = Authority().issue("orders", ["127.0.0.1"])
    client = certs.certificates(CLIENT)
    certs.put("orders", impostor)
    async with serve(receive, tls=certs.server()) as server, say_to(server.port, certificates=client) as say:
        with pytest.raises(ServiceUnavailable):
            await IMPATIENT.call(say, StringValue(value="secret"))

    assert received == []


async def test_only_named_callers_are_served_but_all_may_ask_for_health(
    serve: Serve, say_to: SayTo, certs: Certs
) -> None:
    """A certificate of the same authority with another name opens nothing else."""
    tls = certs.server(client_names=frozenset({CLIENT}))
    stranger = certs.certificates("unauthorized-client")
    async with (
        serve(_echo, tls=tls) as server,
        say_to(server.port, certificates=certs.certificates(CLIENT)) as say,
        say_to(server.port, certificates=stranger) as say_as_stranger,
        open_channel(f"127.0.0.1:{server.port}", certificates=stranger) as channel,
    ):
        served = await say(StringValue(value="hello"), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await say_as_stranger(StringValue(value="hello"), timeout=5)
        health: Any = health_pb2_grpc.HealthStub(channel)
        report = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)

    assert served.value == "hello"
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert report.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_server_shows_its_renewed_certificate_at_once(serve: Serve, certs: Certs) -> None:
    """The next handshake has it, without a restart."""
    async with serve(_echo, tls=certs.server()) as server:
        before = await asyncio.to_thread(_server_certificate, server.port, certs)

        certs.renew()
        after = await asyncio.to_thread(_server_certificate, server.port, certs)

    assert before != after == certs.certificate_of("orders").read_text()


def _server_certificate(port: int, certs: Certs) -> str:
    context = certs.certificates(CLIENT).current().client_context
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True) or b"")


async def test_a_channel_shows_its_renewed_certificate_and_loses_no_call(
    serve: Serve, say_to: SayTo, certs: Certs
) -> None:
    """Calls in flight end on the old connection, later ones use the new one, and none fails."""
    held = asyncio.Event()

    async def answer(request: StringValue, context: Any) -> StringValue:
        if request.value == "wait":
            await held.wait()
        return await _answer_certificate(request, context)

    async with (
        serve(answer, tls=certs.server()) as server,
        say_to(server.port, certificates=certs.certificates(CLIENT)) as say,
    ):
        before = await _shown(say)
        in_flight = asyncio.create_task(_shown(say, "wait"))

        certs.renew()
        # Either may be the one that a hasty close cuts: both are asked before anything is asserted.
        (shown,) = await asyncio.gather(_until_shown(say, certs.client_pem()), return_exceptions=True)
        held.set()
        (ended,) = await asyncio.gather(in_flight, return_exceptions=True)

    assert ended == before
    assert shown == {before, certs.client_pem()}


async def test_an_authority_is_replaced_without_losing_a_call(serve: Serve, say_to: SayTo, certs: Certs) -> None:
    """The new one is added, signs, and then stands alone; an old certificate is worth nothing afterwards."""
    async with (
        serve(_answer_certificate, tls=certs.server()) as server,
        say_to(server.port, certificates=certs.certificates(CLIENT)) as say,
    ):
        old = certs.certificates("unauthorized-client").current()
        await _shown(say)

        certs.add_authority()
        certs.renew()
        await _until_shown(say, certs.client_pem())
        certs.keep_newest_authority()

        assert await _shown(say)
        stale = grpc.ssl_channel_credentials(certs.authorities.read_bytes(), old.key, old.certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", stale) as channel:
            call: Any = channel.unary_unary("/test.Echo/Say")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"", timeout=5, wait_for_ready=False)


async def test_a_certificate_that_the_server_does_not_trust_yet_is_not_used_yet(
    serve: Serve, say_to: SayTo, certs: Certs, tmp_path: Path
) -> None:
    """Calls keep using the last one until the server accepts the new one."""
    client = Certs(tmp_path / "client")
    client.make()
    client.put(CLIENT, certs.authority().issue(CLIENT))
    client.authorities.write_bytes(certs.authorities.read_bytes())
    unknown = Authority()
    async with (
        serve(_answer_certificate, tls=certs.server()) as server,
        say_to(server.port, certificates=client.certificates(CLIENT)) as say,
    ):
        before = await _shown(say)
        client.put(CLIENT, unknown.issue(CLIENT))
        meanwhile = {await _shown(say) async for _ in _for_seconds(2)}

        certs.authorities.write_bytes(certs.authorities.read_bytes() + unknown.key_pair.certificate)
        await _until_shown(say, client.client_pem())

    assert meanwhile == {before}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plaintext", "tls"])
async def test_connections_have_a_maximum_age(serve: Serve, say_to: SayTo, certs: Certs, *, encrypted: bool) -> None:
    """A client finds new replicas and shows its present certificate from time to time; no call is lost on the way."""
    peers: set[str] = set()

    async def note_peer(request: StringValue, context: Any) -> StringValue:
        peers.add(context.peer())
        return request

    async with (
        serve(note_peer, tls=certs.server() if encrypted else None, connection_seconds=0.2) as server,
        say_to(server.port, certificates=certs.certificates(CLIENT) if encrypted else None) as say,
    ):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(peers) < 3:
            assert time.monotonic() < deadline, "the first connection is used for ever"
            await say(StringValue(), timeout=5)


async def _shown(say: Any, word: str = "") -> str:
    """Call; return the certificate that the server was shown. A call that waits outlasts `_until_shown`."""
    return str((await say(StringValue(value=word), timeout=2 * DEADLINE_SECONDS)).value)


async def _until_shown(say: Any, certificate: str) -> set[str]:
    """Call until the server is shown a certificate; return all that it was shown. Every call must succeed."""
    shown: set[str] = set()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while certificate not in shown:
        assert time.monotonic() < deadline, "the renewed certificate is not shown"
        shown.add(await _shown(say))
        await asyncio.sleep(0.01)
    return shown


async def _for_seconds(seconds: float) -> AsyncIterator[None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        await asyncio.sleep(0.02)
