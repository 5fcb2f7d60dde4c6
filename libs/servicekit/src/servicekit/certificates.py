"""A certificate that is renewed while its process runs: what the files held last that can be used (ADR 0013)."""

import logging
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from servicekit.metrics import CERTIFICATE_EXPIRY
from servicekit.tls_files import TlsFiles

_log = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS: Final = 1.0


class CertificateUnusable(Exception):
    """The files hold no certificate that a connection could be made with; the message names the file and the fault."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one side shows and whom it trusts, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    authorities: bytes
    expires: datetime

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context show and trust them. Raises ssl.SSLError if OpenSSL refuses them, and OSError."""
        # What stands between certificates may be in any script, and Python takes ASCII only.
        context.load_verify_locations(cadata=self.authorities.decode("ascii", "ignore"))
        with _as_file(self.certificate + b"\n" + self.key) as path:
            context.load_cert_chain(path)


class Certificates:
    """The credentials in force. Files that are half written, of different pairs or expired change nothing."""

    def __init__(
        self,
        use: str,
        files: TlsFiles,
        *,
        look_every_seconds: float = _LOOK_EVERY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the files; `use` names them in logs and metrics. Raises CertificateUnusable if they cannot be used."""
        self._use = use
        self._files = files
        self._look_every_seconds = look_every_seconds
        self._monotonic = monotonic
        self._looking = threading.Lock()  # gRPC asks from threads of its own
        self._looked_at = monotonic()
        self._seen = _content(files)
        self._credentials = _usable(files, *self._seen)
        self._fault = ""
        CERTIFICATE_EXPIRY.labels(use).set_function(self._expiry)

    def current(self) -> Credentials:
        """Return what is in force, after a look at the files if the last one was over a second ago.

        The same object is returned until the files hold something else that can be used.
        """
        with self._looking:
            if self._monotonic() - self._looked_at >= self._look_every_seconds:
                self._looked_at = self._monotonic()
                self._look()
            return self._credentials

    def _expiry(self) -> float:
        return self.current().expires.timestamp()

    def _look(self) -> None:
        try:
            content = _content(self._files)
            if content != self._seen:
                self._take(content)
            self._fault = ""
        except CertificateUnusable as unusable:
            self._keep_the_last(str(unusable))

    def _take(self, content: tuple[bytes, bytes, bytes]) -> None:
        self._credentials = _usable(self._files, *content)
        self._seen = content
        _log.info("certificate renewed", extra=self._told())

    def _keep_the_last(self, fault: str) -> None:
        if fault != self._fault:  # once is enough, and the metric goes on telling
            self._fault = fault
            _log.error("certificate not renewed, the last one stays", extra=self._told() | {"reason": fault})

    def _told(self) -> dict[str, str]:
        return {"use": self._use, "expires": self._credentials.expires.isoformat(timespec="seconds")}


def _content(files: TlsFiles) -> tuple[bytes, bytes, bytes]:
    return _read(files.certificate), _read(files.key), _read(files.authorities)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise CertificateUnusable(f"{path}: {failure.strerror}") from failure


def _usable(files: TlsFiles, certificate: bytes, key: bytes, authorities: bytes) -> Credentials:
    ours = _certificates(files.certificate, certificate)[0]
    _certificates(files.authorities, authorities)
    _require_key(files.key, key, ours)
    if not ours.not_valid_before_utc <= datetime.now(UTC) < ours.not_valid_after_utc:
        raise CertificateUnusable(f"{files.certificate}: not valid at this time")
    credentials = Credentials(certificate, key, authorities, ours.not_valid_after_utc)
    _require_openssl(files.certificate, credentials)
    return credentials


def _require_openssl(path: Path, credentials: Credentials) -> None:
    """Raise CertificateUnusable for what is well-formed and still refused, such as a key that is too small."""
    try:
        credentials.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except ssl.SSLError as refused:
        raise CertificateUnusable(f"{path}: refused by OpenSSL, {refused.reason}") from refused
    except OSError as failure:
        raise CertificateUnusable(f"{path}: could not be tried, {failure.strerror}") from failure


@contextmanager
def _as_file(pair: bytes) -> Iterator[str]:
    """Give the very pair that was checked as a file, the only way in which OpenSSL's Python face takes one.

    The service's own files may have changed since. On Linux the file is in memory only.
    """
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


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as fault:
        raise CertificateUnusable(f"{path}: holds no whole certificate") from fault


def _require_key(path: Path, pem: bytes, certificate: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise CertificateUnusable(f"{path}: holds no whole private key without a passphrase") from None
    if key.public_key() != certificate.public_key():
        raise CertificateUnusable(f"{path}: is not the key of the certificate")
