"""Mutual TLS for gRPC: a peer without a certificate of our authority gets nothing, not even health (ADR 13)."""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import grpc

from servicekit.certificates import Certificates, Credentials

_log = logging.getLogger(__name__)

_CHECK_INTERVAL_SECONDS: Final = 1.0
_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_FINISH_SECONDS: Final = 60.0
"""Time for the calls in flight on a replaced channel; no call has a longer deadline."""


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return credentials that show the current certificate at each handshake and require one from the client."""
    in_use = certificates.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal in_use
        current = certificates.current()
        if current is in_use:
            return None
        in_use = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(in_use),
        fetch,  # type: ignore[arg-type]  # gRPC documents None for no change
        require_client_authentication=True,
    )


def channel_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    """Return credentials for calls: the server's certificate and name are verified, the own one is shown."""
    return grpc.ssl_channel_credentials(credentials.authorities, credentials.key, credentials.certificate)


def caller_names(context: "grpc.aio.ServicerContext[Any, Any]") -> frozenset[str]:
    """Return the names in the caller's certificate; none without TLS."""
    names = context.auth_context().get("x509_subject_alternative_name", ())
    return frozenset(name.decode() for name in names)


def _configuration(credentials: Credentials) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(credentials.key, credentials.certificate)], root_certificates=credentials.authorities
    )


class ReloadingChannel(grpc.aio.Channel):
    """Channel that is replaced by a new one when the certificates change.

    gRPC's own channel keeps the certificate that it was opened with. The new channel takes over once it is connected,
    so no call waits for it, or fails because the other side does not trust the new certificate yet. Calls in flight
    end on the old channel. Renewal begins when the channel is entered as a context.
    """

    def __init__(
        self, open_channel: Callable[[grpc.ChannelCredentials], grpc.aio.Channel], certificates: Certificates
    ) -> None:
        self._open_channel = open_channel
        self._certificates = certificates
        self._credentials = certificates.current()
        self._channel = open_channel(channel_credentials(self._credentials))
        self._watcher: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to follow the certificates."""
        self._watcher = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close the channel and those that it replaced."""
        tasks = {*self._retiring, *({self._watcher} if self._watcher else ())}
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

    def unary_unary(self, *args: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.unary_unary. Each call uses the channel that is current when it is made."""
        return self._on_current_channel("unary_unary", *args, **options)

    def unary_stream(self, *args: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.unary_stream."""
        return self._on_current_channel("unary_stream", *args, **options)

    def stream_unary(self, *args: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.stream_unary."""
        return self._on_current_channel("stream_unary", *args, **options)

    def stream_stream(self, *args: Any, **options: Any) -> Any:
        """See grpc.aio.Channel.stream_stream."""
        return self._on_current_channel("stream_stream", *args, **options)

    def _on_current_channel(self, kind: str, *args: Any, **options: Any) -> Any:
        def call(*request: Any, **call_options: Any) -> Any:
            return getattr(self._channel, kind)(*args, **options)(*request, **call_options)

        return call

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
            current = self._certificates.current()
            if current is not self._credentials:
                await self._replace(current)

    async def _replace(self, credentials: Credentials) -> None:
        channel = await self._connect(credentials)
        if channel is None:
            _log.warning("no connection with the renewed certificate yet, calls keep using the last one")
            return
        replaced, self._channel, self._credentials = self._channel, channel, credentials
        retiring = asyncio.create_task(_finish(replaced))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _connect(self, credentials: Credentials) -> grpc.aio.Channel | None:
        channel = self._open_channel(channel_credentials(credentials))
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
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
