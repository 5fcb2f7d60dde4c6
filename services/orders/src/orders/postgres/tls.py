"""Mutual TLS with PostgreSQL: a connection shows the certificate in force, and none outlives its certificate."""

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from sqlalchemy import exc

from servicekit.certificates import Certificates, TlsFiles

_VERIFIED: Final = "verify-full"
_FILES: Final = ("sslcert", "sslkey", "sslrootcert")


def is_verified(url: str) -> bool:
    """Whether connections to a libpq URL are encrypted, to the very server that the URL names."""
    return _parameters(url).get("sslmode") == _VERIFIED


class RenewedConnections:
    """Opens connections with the certificates that a URL names, and knows those that were opened with earlier ones.

    A URL that does not name all of sslcert, sslkey and sslrootcert, with sslmode=verify-full, is left to asyncpg:
    it reads what there is at each connect, and connections are not replaced.
    """

    def __init__(self, url: str) -> None:
        """Read the certificates. Raises CertificateUnusable."""
        parameters = _parameters(url)
        whole = is_verified(url) and all(name in parameters for name in _FILES)
        self._certificates = _certificates(*(Path(parameters[name]) for name in _FILES)) if whole else None
        self._opened_with: WeakKeyDictionary[Any, ssl.SSLContext] = WeakKeyDictionary()

    @property
    def options(self) -> dict[str, ssl.SSLContext]:
        """What asyncpg is told to open a connection now."""
        return {"ssl": self._certificates.current().client_context} if self._certificates else {}

    def remember(self, connection: Any, options: dict[str, ssl.SSLContext]) -> None:
        """Note with which options a connection was opened."""
        if options:
            self._opened_with[connection] = options["ssl"]

    def refuse_outdated(self, connection: Any, _record: object, _proxy: object) -> None:
        """Have SQLAlchemy's pool replace a connection from before the certificates changed, as it is taken out."""
        if self._certificates is None:
            return
        if self._opened_with[connection.driver_connection] is not self._certificates.current().client_context:
            raise exc.DisconnectionError("the certificate was renewed")


def _certificates(certificate: Path, key: Path, authorities: Path) -> Certificates:
    return Certificates("postgres", TlsFiles(certificate, key, authorities), alpn=["postgresql"])


def _parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
