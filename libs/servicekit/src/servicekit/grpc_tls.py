"""Mutual TLS for gRPC: who has no certificate of our authority gets nothing, not even health (ADR 0013)."""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import grpc

from servicekit.certificates import Certificates, Credentials

_log = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 10.0
_FINISH_SECONDS: Final = 60.0
"""How long calls on a replaced channel may take; no call's deadline is longer."""


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return credentials that show the current certificate at each handshake and demand one from the client."""
    told = certificates.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal told
        current = certificates.current()
        if current is told:
            return None
        told = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(told),
        renewed,  # type: ignore[arg-type]  # None is no change, says gRPC's own documentation
        require_client_authentication=True,
    )


def channel_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    """Return credentials for calls: the server's certificate and its name are verified, ours is shown."""
    return grpc.ssl_channel_credentials(credentials.authorities, credentials.key, credentials.certificate)


def names_of_caller(context: "grpc.aio.ServicerContext[Any, Any]") -> frozenset[str]:
    """Return the names in the certificate of whoever calls; none without TLS."""
    names = context.auth_context().get("x509_subject_alternative_name", ())
    return frozenset(name.decode() for name in names)


def _configuration(credentials: Credentials) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(credentials.key, credentials.certificate)], root_certificates=credentials.authorities
    )


class ReloadingChannel(grpc.aio.Channel):
    """A channel that is replaced by a new one when the certificates change.

    gRPC's own channel shows for ever what it was opened with. The new one takes over once it is connected, so that
    no call waits for it, or fails because the other side does not trust the new certificate yet; what is under way
    ends on the old one.
    """

    def __init__(
        self, open_with: Callable[[grpc.ChannelCredentials], grpc.aio.Channel], certificates: Certificates
    ) -> None:
        """Open channels with a function. Renewal begins when the channel is entered as a context."""
        self._open_with = open_with
        self._certificates = certificates
        self._shown = certificates.current()
        self._channel = open_with(channel_credentials(self._shown))
        self._renewing: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Follow the certificates from now on."""
        self._renewing = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it, and what it replaced."""
        tasks = {*self._retiring, *({self._renewing} if self._renewing else ())}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's own
        """See grpc.aio.Channel.get_state."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See grpc.aio.Channel.wait_for_state_change."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See grpc.aio.Channel.channel_ready."""
        await self._channel.channel_ready()

    def unary_unary(self, *words: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.unary_unary; each call goes over the channel of its moment."""
        return self._of_its_moment("unary_unary", *words, **options)

    def unary_stream(self, *words: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.unary_stream."""
        return self._of_its_moment("unary_stream", *words, **options)

    def stream_unary(self, *words: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.stream_unary."""
        return self._of_its_moment("stream_unary", *words, **options)

    def stream_stream(self, *words: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.stream_stream."""
        return self._of_its_moment("stream_stream", *words, **options)

    def _of_its_moment(self, kind: str, *words: Any, **options: Any) -> Any:
        def call(*sent: Any, **how: Any) -> Any:
            return getattr(self._channel, kind)(*words, **options)(*sent, **how)

        return call

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            current = self._certificates.current()
            if current is not self._shown:
                await self._show(current)

    async def _show(self, credentials: Credentials) -> None:
        fresh = await self._connected(credentials)
        if fresh is None:
            _log.warning("no connection with the renewed certificate yet, calls go on with the last one")
            return
        replaced, self._channel, self._shown = self._channel, fresh, credentials
        retiring = asyncio.create_task(_finish(replaced))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _connected(self, credentials: Credentials) -> grpc.aio.Channel | None:
        channel = self._open_with(channel_credentials(credentials))
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await channel.channel_ready()
        except TimeoutError:
            await channel.close()
            return None
        except asyncio.CancelledError:
            await channel.close()
            raise
        return channel


async def _finish(replaced: grpc.aio.Channel) -> None:
    try:
        await replaced.close(_FINISH_SECONDS)
    except asyncio.CancelledError:
        await replaced.close()
        raise
