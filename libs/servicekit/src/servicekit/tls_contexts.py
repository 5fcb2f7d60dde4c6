"""TLS towards stores: an ssl context that follows the certificates."""

import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

from servicekit.certificates import Certificates, Credentials

_log = logging.getLogger(__name__)

_TRY_EVERY_SECONDS: Final = 1.0


class ClientContexts:
    """Contexts for outgoing connections: mutual TLS 1.2 or newer, the server's name verified."""

    def __init__(
        self,
        certificates: Certificates,
        *,
        alpn: Sequence[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show these certificates. `alpn` names the protocol to the server, if it has a name there."""
        self._certificates = certificates
        self._alpn = list(alpn)
        self._monotonic = monotonic
        self._credentials = certificates.current()
        self._context = self._built(self._credentials)
        self._try_at = monotonic()
        self._fault = ""

    def current(self) -> ssl.SSLContext:
        """Return the context for a connection made now: the same one until the certificates change.

        If none can be made of the new ones, for want of a file descriptor say, the last one stays, and it is tried
        again a second later.
        """
        credentials = self._certificates.current()
        if credentials is not self._credentials and self._monotonic() >= self._try_at:
            self._renew(credentials)
        return self._context

    def _renew(self, credentials: Credentials) -> None:
        try:
            context = self._built(credentials)
        except OSError as failure:  # an SSLError is one
            self._keep_the_last(failure.strerror or type(failure).__name__)
            return
        self._credentials, self._context = credentials, context  # only now: what failed must be seen as new again
        self._fault = ""

    def _keep_the_last(self, fault: str) -> None:
        self._try_at = self._monotonic() + _TRY_EVERY_SECONDS
        if fault != self._fault:  # once is enough
            self._fault = fault
            _log.error("renewed certificate not in use yet, the last one stays", extra={"reason": fault})

    def _built(self, credentials: Credentials) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        credentials.load_into(context)
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        return context
