"""TLS to PostgreSQL with reload: new connections use the current certificate, and pooled ones are replaced."""

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from sqlalchemy import exc

from servicekit.certificates import Certificates, TlsFiles
from servicekit.urls import split_url

_VERIFIED: Final = "verify-full"
_FILES: Final = ("sslcert", "sslkey", "sslrootcert")


def is_verified(url: str) -> bool:
    """Return True if connections to a libpq URL are encrypted and verify the server's name."""
    return _parameters(url).get("sslmode") == _VERIFIED


class ReloadingTls:
    """Certificates that a libpq URL names, and the connections that were opened with each of them.

    A URL without all of sslcert, sslkey, sslrootcert and sslmode=verify-full is left to asyncpg, which reads the files
    at each connect; pooled connections are not replaced then. Raises CertificateUnusable.
    """

    def __init__(self, url: str) -> None:
        parameters = _parameters(url)
        complete = is_verified(url) and all(name in parameters for name in _FILES)
        self._certificates = _certificates(*(Path(parameters[name]) for name in _FILES)) if complete else None
        self._opened_with: WeakKeyDictionary[Any, ssl.SSLContext] = WeakKeyDictionary()

    @property
    def options(self) -> dict[str, ssl.SSLContext]:
        """Options of asyncpg for a connection that is opened now."""
        return {"ssl": self._certificates.current().client_context} if self._certificates else {}

    def remember(self, connection: Any, options: dict[str, ssl.SSLContext]) -> None:
        """Remember the options that a connection was opened with."""
        if options:
            self._opened_with[connection] = options["ssl"]

    def discard_outdated(self, connection: Any, _record: object, _proxy: object) -> None:
        """Make SQLAlchemy's pool replace a connection that was opened with earlier certificates."""
        if self._certificates is None:
            return
        if self._opened_with[connection.driver_connection] is not self._certificates.current().client_context:
            raise exc.DisconnectionError("the certificate was renewed")


def _certificates(certificate: Path, key: Path, authorities: Path) -> Certificates:
    return Certificates("postgres", TlsFiles(certificate, key, authorities), alpn=["postgresql"])


def _parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(split_url(url).query))
