"""TLS towards stores: an ssl context that follows the certificates."""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from servicekit.certificates import Certificates, Credentials


class ClientContexts:
    """Contexts for outgoing connections: mutual TLS 1.2 or newer, the server's name verified."""

    def __init__(self, certificates: Certificates, *, alpn: Sequence[str] = ()) -> None:
        """Show these certificates. `alpn` names the protocol to the server, if it has a name there."""
        self._certificates = certificates
        self._alpn = list(alpn)
        self._credentials = certificates.current()
        self._context = self._built()

    def current(self) -> ssl.SSLContext:
        """Return the context for a connection made now: the same one until the certificates change."""
        credentials = self._certificates.current()
        if credentials is not self._credentials:
            self._credentials = credentials
            self._context = self._built()
        return self._context

    def _built(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        context.load_verify_locations(cadata=self._credentials.authorities.decode())
        with _pair_as_file(self._credentials) as path:
            context.load_cert_chain(path)
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        return context


@contextmanager
def _pair_as_file(credentials: Credentials) -> Iterator[str]:
    """Give the very pair that was checked as a file, the only way in which OpenSSL's Python face takes one.

    The service's own files may have changed since. On Linux the file is in memory only.
    """
    pair = credentials.certificate + b"\n" + credentials.key
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("certificate"), "wb") as file:
            file.write(pair)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(pair)
            file.flush()
            yield file.name
