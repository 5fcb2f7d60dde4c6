"""gRPC with mutual TLS: who has no certificate gets nothing, and certificates are renewed without losing a call."""

import asyncio
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack.certificates import Authority, CertificateFolder, KeyPair
from servicekit.certificates import Certificates
from servicekit.grpc_client import RpcClient, ServiceUnavailable, open_channel
from servicekit.grpc_server import GrpcServer, MutualTls
from servicekit.tls_files import TlsFiles

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]
CALLER: Final = RpcClient("echo", {}, timeout_seconds=5)
BRIEF_CALLER: Final = RpcClient("echo", {}, timeout_seconds=1)
PATIENCE_SECONDS: Final = 20.0


class Certs(CertificateFolder):
    """Certificates in files, and credentials that follow them."""

    def files(self, holder: str) -> TlsFiles:
        """Name a holder's files."""
        return TlsFiles(self.certificate_of(holder), self.key_of(holder), self.authorities)

    def followed(self, holder: str) -> Certificates:
        """Follow a holder's files, looking at every use."""
        return Certificates(holder, self.files(holder), look_every_seconds=0)

    def server(self, **changes: Any) -> MutualTls:
        """Give what a server is told."""
        return MutualTls(self.followed("orders"), **changes)


@pytest.fixture
def certs(tmp_path: Path) -> Certs:
    """Give certificates of a test authority."""
    made = Certs(tmp_path / "certs")
    made.make()
    return made


async def _echo(request: StringValue, _context: Any) -> StringValue:
    return request


async def _tell_certificate(_request: StringValue, context: Any) -> StringValue:
    """Answer with the certificate that the caller showed."""
    (shown,) = context.auth_context()["x509_pem_cert"]
    return StringValue(value=shown.decode())


async def test_both_sides_with_certificates_talk(serve: Serve, say_to: SayTo, certs: Certs) -> None:
    """A channel with certificates needs nothing else."""
    async with (
        serve(_echo, tls=certs.server()) as server,
        say_to(server.port, certificates=certs.followed("payments-gateway")) as say,
    ):
        answer = await CALLER.call(say, StringValue(value="hello"))

    assert answer.value == "hello"


@pytest.mark.parametrize("method", ["/test.Echo/Say", "/grpc.health.v1.Health/Check"])
@pytest.mark.parametrize("who", ["plaintext", "without", "expired", "other-authority"])
async def test_a_client_without_a_good_certificate_gets_nothing(
    serve: Serve, certs: Certs, who: str, method: str
) -> None:
    """Not the service, and not even health."""
    async with serve(_echo, tls=certs.server()) as server, _channel_of(who, server.port, certs) as channel:
        call: Any = channel.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"", timeout=20, wait_for_ready=False)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def _channel_of(who: str, port: int, certs: Certs) -> grpc.aio.Channel:
    address, trusted = f"127.0.0.1:{port}", certs.authorities.read_bytes()
    if who == "plaintext":
        return grpc.aio.insecure_channel(address)
    if who == "without":
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted))
    authority = certs.authority() if who == "expired" else Authority()
    ends = datetime.now(UTC) - timedelta(minutes=1) if who == "expired" else None
    pair = authority.issue("payments-gateway", ends=ends)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted, pair.key, pair.certificate))


@pytest.mark.parametrize("fault", ["other-name", "other-authority"])
async def test_a_server_that_is_not_the_one_named_gets_no_call(
    serve: Serve, say_to: SayTo, certs: Certs, fault: str
) -> None:
    """A certificate for another name, or of an authority that is not trusted: nothing is sent."""
    heard: list[str] = []

    async def listen(request: StringValue, _context: Any) -> StringValue:
        heard.append(request.value)
        return request

    impostor = certs.authority().issue("orders", ["orders.elsewhere.example"])
    if fault == "other-authority":
        impostor = Authority().issue("orders", ["127.0.0.1"])
    client = certs.followed("payments-gateway")
    certs.put("orders", impostor)
    async with serve(listen, tls=certs.server()) as server, say_to(server.port, certificates=client) as say:
        with pytest.raises(ServiceUnavailable):
            await BRIEF_CALLER.call(say, StringValue(value="secret"))

    assert heard == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")  # which is what this is about
async def test_nothing_older_than_tls_1_2_is_spoken(serve: Serve, certs: Certs) -> None:
    """A client that knows only TLS 1.1 is refused, and one that knows 1.2 is not."""
    async with serve(_echo, tls=certs.server()) as server:
        with pytest.raises(ssl.SSLError, match=r"EOF|protocol version"):
            await asyncio.to_thread(_certificate_shown, server.port, certs, newest=ssl.TLSVersion.TLSv1_1)

        shown = await asyncio.to_thread(_certificate_shown, server.port, certs, newest=ssl.TLSVersion.TLSv1_2)

    assert shown == certs.certificate_of("orders").read_text()


async def test_only_named_callers_are_served_but_all_may_ask_for_health(
    serve: Serve, say_to: SayTo, certs: Certs
) -> None:
    """Another service's certificate is of the same authority, and opens nothing."""
    tls = certs.server(client_names=frozenset({"payments-gateway"}))
    async with (
        serve(_echo, tls=tls) as server,
        say_to(server.port, certificates=certs.followed("payments-gateway")) as say,
        say_to(server.port, certificates=certs.followed("unauthorized-client")) as say_as_stranger,
        open_channel(f"127.0.0.1:{server.port}", certificates=certs.followed("unauthorized-client")) as strangers,
    ):
        served = await say(StringValue(value="hello"), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await say_as_stranger(StringValue(value="hello"), timeout=5)
        health: Any = health_pb2_grpc.HealthStub(strangers)
        verdict = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)

    assert served.value == "hello"
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert verdict.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_server_shows_its_renewed_certificate_at_once(serve: Serve, certs: Certs) -> None:
    """The next handshake has it, without a restart."""
    async with serve(_echo, tls=certs.server()) as server:
        before = await asyncio.to_thread(_certificate_shown, server.port, certs)

        certs.renew()
        after = await asyncio.to_thread(_certificate_shown, server.port, certs)

    assert before != after == certs.certificate_of("orders").read_text()


async def test_a_half_replaced_pair_breaks_no_handshake(serve: Serve, certs: Certs) -> None:
    """Between the new key and the new certificate the old pair is shown."""
    async with serve(_echo, tls=certs.server()) as server:
        before = await asyncio.to_thread(_certificate_shown, server.port, certs)
        fresh = certs.authority().issue("orders", ["127.0.0.1"])

        certs.key_of("orders").write_bytes(fresh.key)
        halfway = await asyncio.to_thread(_certificate_shown, server.port, certs)
        certs.certificate_of("orders").write_bytes(fresh.certificate)
        after = await asyncio.to_thread(_certificate_shown, server.port, certs)

    assert halfway == before
    assert after == fresh.certificate.decode()


async def test_a_channel_shows_its_renewed_certificate_and_loses_no_call(
    serve: Serve, say_to: SayTo, certs: Certs
) -> None:
    """Calls under way end on the old connection, later ones go over the new one, and none fails."""
    held = asyncio.Event()

    async def answer(request: StringValue, context: Any) -> StringValue:
        if request.value == "wait":
            await held.wait()
        return await _tell_certificate(request, context)

    async with (
        serve(answer, tls=certs.server()) as server,
        say_to(server.port, certificates=certs.followed("payments-gateway")) as say,
    ):
        before = (await say(StringValue(), timeout=5)).value
        under_way = asyncio.create_task(_finished(say, "wait"))

        certs.renew()
        shown = await _until_shown(say, certs.certificate_of("payments-gateway").read_text())
        held.set()
        (ended,) = await asyncio.gather(under_way, return_exceptions=True)

    assert ended == before
    assert shown == {before, certs.certificate_of("payments-gateway").read_text()}


async def test_an_authority_is_replaced_in_three_steps_without_losing_a_call(
    serve: Serve, say_to: SayTo, certs: Certs
) -> None:
    """The new one is added, signs, and then stands alone; an old certificate is worth nothing afterwards."""
    async with (
        serve(_tell_certificate, tls=certs.server()) as server,
        say_to(server.port, certificates=certs.followed("payments-gateway")) as say,
    ):
        old = KeyPair(
            certs.certificate_of("unauthorized-client").read_bytes(), certs.key_of("unauthorized-client").read_bytes()
        )
        await say(StringValue(), timeout=5)

        certs.add_authority()
        certs.renew()
        await _until_shown(say, certs.certificate_of("payments-gateway").read_text())
        certs.keep_newest_authority()

        assert (await say(StringValue(), timeout=5)).value
        with pytest.raises(OSError, match=r"(?i)alert|unknown|reset|eof"):
            await asyncio.to_thread(_certificate_shown, server.port, certs, shows=old)


async def test_a_certificate_that_is_not_trusted_yet_is_not_used_yet(
    serve: Serve, say_to: SayTo, certs: Certs, tmp_path: Path
) -> None:
    """Calls go on with the last one until the other side takes the new one."""
    clients = Certs(tmp_path / "client")
    clients.make()
    clients.put("payments-gateway", certs.authority().issue("payments-gateway"))
    clients.authorities.write_bytes(certs.authorities.read_bytes())
    stray = Authority()
    async with (
        serve(_tell_certificate, tls=certs.server()) as server,
        say_to(server.port, certificates=clients.followed("payments-gateway")) as say,
    ):
        before = (await say(StringValue(), timeout=5)).value
        clients.put("payments-gateway", stray.issue("payments-gateway"))
        meanwhile = {await _shown_or_lost(say) async for _ in _for_seconds(2)}

        certs.authorities.write_bytes(certs.authorities.read_bytes() + stray.key_pair.certificate)
        await _until_shown(say, clients.certificate_of("payments-gateway").read_text())

    assert meanwhile == {before}


async def test_connections_are_made_anew_now_and_then(serve: Serve, say_to: SayTo, certs: Certs) -> None:
    """A certificate that has ended since is asked for again, and no call is lost on the way."""
    peers: set[str] = set()

    async def note_peer(request: StringValue, context: Any) -> StringValue:
        peers.add(context.peer())
        return request

    async with (
        serve(note_peer, tls=certs.server(connection_seconds=0.2)) as server,
        say_to(server.port, certificates=certs.followed("payments-gateway")) as say,
    ):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(peers) < 3:
            assert time.monotonic() < deadline, "the first connection is used for ever"
            await say(StringValue(), timeout=5)


async def _finished(say: Any, word: str) -> str:
    return str((await say(StringValue(value=word), timeout=PATIENCE_SECONDS)).value)


async def _until_shown(say: Any, certificate: str) -> set[str]:
    """Call until the server is shown a certificate; return all that it was shown. Every call must succeed."""
    shown: set[str] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while certificate not in shown:
        assert time.monotonic() < deadline, "the renewed certificate is not shown"
        shown.add(str((await say(StringValue(), timeout=5)).value))
        await asyncio.sleep(0.01)
    return shown


async def _shown_or_lost(say: Any) -> str:
    try:
        return str((await say(StringValue(), timeout=5)).value)
    except grpc.aio.AioRpcError:
        return "lost"


async def _for_seconds(seconds: float) -> Any:
    """Go on for that long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        await asyncio.sleep(0.02)


def _certificate_shown(
    port: int, certs: Certs, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, shows: KeyPair | None = None
) -> str:
    """Shake hands as a client with a certificate, hear the server's first frame, and return its certificate."""
    pair = shows or certs.authority().issue("payments-gateway")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=certs.authorities.read_text())
    context.maximum_version = newest
    if newest < ssl.TLSVersion.TLSv1_2:
        context.minimum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with (
        _loaded(context, pair),
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        if not wrapped.recv(1):
            raise ConnectionResetError("reset before the first frame")
        shown = wrapped.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(shown or b"")


@contextmanager
def _loaded(context: ssl.SSLContext, pair: KeyPair) -> Iterator[None]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.certificate + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
        yield
