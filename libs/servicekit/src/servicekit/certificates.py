"""TLS credentials that follow their files: a renewed certificate is used without a restart (ADR 13)."""

import logging
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from servicekit.metrics import CERTIFICATE_EXPIRY

_log = logging.getLogger(__name__)

_CHECK_INTERVAL_SECONDS: Final = 1.0


class CertificateUnusable(Exception):
    """No connection could be made with the files; the message names the file and the fault."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one side of a connection. They are read again when they change."""

    certificate: Path
    """Own certificate, then the intermediate ones."""
    key: Path
    """Its private key, without a passphrase."""
    authorities: Path
    """Authorities that must have issued the other side's certificate; two while one is replaced."""

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Return the content of the three files. Raises CertificateUnusable."""
        return _read(self.certificate), _read(self.key), _read(self.authorities)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Certificate, key and trusted authorities, as PEM, that were valid together when they were read."""

    certificate: bytes
    key: bytes = field(repr=False)
    authorities: bytes
    expires: datetime
    client_context: ssl.SSLContext
    """Context for outgoing connections: mutual TLS 1.2 or newer, the server's name verified."""


class Certificates:
    """Credentials in force. Files that are half written, of different pairs or expired change nothing.

    `use` names them in logs and metrics; `alpn` is the protocol that the client context offers, if any.
    The constructor raises CertificateUnusable.
    """

    def __init__(
        self,
        use: str,
        files: TlsFiles,
        *,
        alpn: Sequence[str] = (),
        check_interval_seconds: float = _CHECK_INTERVAL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._use = use
        self._files = files
        self._alpn = tuple(alpn)
        self._check_interval_seconds = check_interval_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()  # gRPC calls from threads of its own
        self._checked_at = monotonic()
        self._content = files.read()
        self._credentials = _load(files, self._content, self._alpn)
        self._fault = ""
        CERTIFICATE_EXPIRY.labels(use).set_function(self._expiry)

    def current(self) -> Credentials:
        """Return the credentials in force, after a check of the files if the last one was over a second ago.

        The same object is returned until the files hold other credentials that can be used.
        """
        with self._lock:
            if self._monotonic() - self._checked_at >= self._check_interval_seconds:
                self._checked_at = self._monotonic()
                self._check()
            return self._credentials

    def _expiry(self) -> float:
        return self.current().expires.timestamp()

    def _check(self) -> None:
        try:
            content = self._files.read()
            if content != self._content:
                self._credentials = _load(self._files, content, self._alpn)
                self._content = content
                _log.info("certificate renewed", extra=self._log_fields())
            self._fault = ""
        except CertificateUnusable as unusable:
            self._report(str(unusable))

    def _report(self, fault: str) -> None:
        if fault != self._fault:  # logged once; the metric keeps showing the old expiry
            self._fault = fault
            _log.error("certificate renewal failed, the last one stays", extra=self._log_fields() | {"reason": fault})

    def _log_fields(self) -> dict[str, str]:
        return {"use": self._use, "expires": self._credentials.expires.isoformat(timespec="seconds")}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise CertificateUnusable(f"{path}: {failure.strerror}") from failure


def _load(files: TlsFiles, content: tuple[bytes, bytes, bytes], alpn: Sequence[str]) -> Credentials:
    certificate, key, authorities = content
    own = _parse_certificates(files.certificate, certificate)[0]
    _parse_certificates(files.authorities, authorities)
    _require_matching_key(files.key, key, own)
    if not own.not_valid_before_utc <= datetime.now(UTC) < own.not_valid_after_utc:
        raise CertificateUnusable(f"{files.certificate}: not valid at this time")
    context = _client_context(files.certificate, content, alpn)
    return Credentials(certificate, key, authorities, own.not_valid_after_utc, context)


def _parse_certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as fault:
        raise CertificateUnusable(f"{path}: holds no whole certificate") from fault


def _require_matching_key(path: Path, pem: bytes, certificate: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise CertificateUnusable(f"{path}: holds no whole private key without a passphrase") from None
    if key.public_key() != certificate.public_key():
        raise CertificateUnusable(f"{path}: is not the key of the certificate")


def _client_context(path: Path, content: tuple[bytes, bytes, bytes], alpn: Sequence[str]) -> ssl.SSLContext:
    """Build the context. Raises CertificateUnusable for what OpenSSL refuses, such as a key that is too small."""
    certificate, key, authorities = content
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # requires a certificate and checks the name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Text between certificates may be in any script, and Python takes ASCII only.
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
        with _as_file(certificate + b"\n" + key) as pair:
            context.load_cert_chain(pair)
    except ssl.SSLError as refused:
        raise CertificateUnusable(f"{path}: refused by OpenSSL, {refused.reason}") from refused
    except OSError as failure:
        raise CertificateUnusable(f"{path}: could not be tried, {failure.strerror}") from failure
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@contextmanager
def _as_file(pair: bytes) -> Iterator[str]:
    """Offer the checked pair as a file: OpenSSL's Python interface takes nothing else.

    The service's own files may have changed since the check. On Linux the file is in memory only.
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
