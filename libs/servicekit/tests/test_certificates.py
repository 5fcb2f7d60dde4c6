"""Certificates follow their files, and files that cannot be used change nothing."""

import os
import resource
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import REGISTRY

from devstack.certificates import Authority, CertificateFolder, KeyPair
from servicekit.certificates import Certificates, CertificateUnusable, TlsFiles

Logged = Callable[..., list[dict[str, Any]]]
HOLDER = "orders"


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """Return certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@pytest.fixture
def files(folder: CertificateFolder) -> TlsFiles:
    """Return the files of one holder."""
    return TlsFiles(folder.certificate_of(HOLDER), folder.key_of(HOLDER), folder.authorities)


def _certificates(files: TlsFiles) -> Certificates:
    return Certificates("test", files, check_interval_seconds=0)


def test_renewed_files_are_used(folder: CertificateFolder, files: TlsFiles, logged: Logged) -> None:
    """Credentials stay the same object until the files change; then all of them are new."""
    certificates = _certificates(files)
    before, again = certificates.current(), certificates.current()

    folder.renew()

    after = certificates.current()
    assert before is again
    assert after.certificate == files.certificate.read_bytes() != before.certificate
    assert after.key == files.key.read_bytes() != before.key
    assert after.client_context is not before.client_context
    assert [line["message"] for line in logged("servicekit.certificates")] == ["certificate renewed"]


def test_an_added_authority_is_trusted(folder: CertificateFolder, files: TlsFiles) -> None:
    """The certificate stays, and both authorities are trusted; text between them may be in any script."""
    certificates = _certificates(files)
    folder.add_authority()

    folder.authorities.write_bytes("# Tanúsítványkiadó\n".encode() + folder.authorities.read_bytes())

    assert len(certificates.current().client_context.get_ca_certs()) == 2


@pytest.mark.parametrize(
    "break_rule",
    [
        lambda files: files.certificate.write_bytes(files.certificate.read_bytes()[:100]),
        lambda files: files.certificate.write_bytes(b""),
        lambda files: files.certificate.unlink(),
        lambda files: files.key.write_bytes(files.key.read_bytes()[:100]),
        lambda files: files.key.write_bytes(_issue().key),
        lambda files: files.authorities.write_bytes(b"no certificate"),
        lambda files: _write(files, _issue(ends=datetime.now(UTC) - timedelta(minutes=1))),
        lambda files: _write(files, _weak_pair()),
    ],
    ids=["half-cert", "empty-cert", "no-cert", "half-key", "other-key", "no-authority", "expired", "weak"],
)
def test_unusable_files_change_nothing(
    files: TlsFiles, logged: Logged, break_rule: Callable[[TlsFiles], object]
) -> None:
    """The last good credentials stay in force, and one log line says why."""
    certificates = _certificates(files)
    good = certificates.current()

    break_rule(files)

    assert certificates.current() is good
    assert certificates.current() is good
    (line,) = logged("servicekit.certificates")
    assert (line["level"], line["use"]) == ("error", "test")
    assert str(files.certificate.parent) in line["reason"]


def test_files_that_are_repaired_are_used(files: TlsFiles) -> None:
    """A pair may be copied file by file: it counts once it is whole."""
    certificates = _certificates(files)
    renewed = _issue()
    files.certificate.write_bytes(renewed.certificate)
    certificates.current()

    files.key.write_bytes(renewed.key)

    assert certificates.current().certificate == renewed.certificate


def test_a_renewal_that_failed_is_tried_again(folder: CertificateFolder, files: TlsFiles) -> None:
    """The files are good; the process could open no file at that moment."""
    certificates = _certificates(files)
    before = certificates.current()
    folder.renew()

    with _one_free_descriptor():  # enough to read the files, one after the other; OpenSSL needs two
        meanwhile = certificates.current()

    assert meanwhile is before
    assert certificates.current().certificate == files.certificate.read_bytes()


def test_unusable_files_stop_the_start(files: TlsFiles) -> None:
    """The message names the file and shows nothing of the key."""
    secret = files.key.read_bytes()
    files.key.write_bytes(secret[:100])

    with pytest.raises(CertificateUnusable, match=str(files.key)) as refused:
        _certificates(files)

    assert secret[30:90].decode() not in str(refused.value)


def test_the_files_are_read_once_a_second(folder: CertificateFolder, files: TlsFiles) -> None:
    """Every use of a connection asks for the credentials."""
    now = [100.0]
    certificates = Certificates("test", files, monotonic=lambda: now[0])
    before = certificates.current()
    folder.renew()

    now[0] += 0.9
    early = certificates.current()
    now[0] += 0.2
    late = certificates.current()

    assert early is before
    assert late is not before


def test_a_metric_shows_the_expiry(files: TlsFiles) -> None:
    """A scrape alone reads the files, so an alert sees every failed renewal."""
    _kept = _certificates(files)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)

    _write(files, _issue(ends=ends))

    value = REGISTRY.get_sample_value("holdfast_certificate_expiry_timestamp_seconds", {"use": "test"})
    assert value == ends.timestamp()


def test_the_key_is_in_no_repr(files: TlsFiles) -> None:
    """Credentials in a traceback give nothing away."""
    credentials = _certificates(files).current()

    assert credentials.key[30:90].decode() not in repr(credentials)


def test_clients_speak_no_tls_below_1_2(files: TlsFiles) -> None:
    """Redis and PostgreSQL are reached with this context."""
    assert _certificates(files).current().client_context.minimum_version is ssl.TLSVersion.TLSv1_2


@contextmanager
def _one_free_descriptor() -> Iterator[None]:
    """Let the process open one file at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _issue(*, ends: datetime | None = None) -> KeyPair:
    return Authority().issue(HOLDER, ends=ends)


def _weak_pair() -> KeyPair:
    """Return a pair whose only fault is its key, which OpenSSL finds too small."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOLDER)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(
        certificate.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def _write(files: TlsFiles, pair: KeyPair) -> None:
    files.certificate.write_bytes(pair.certificate)
    files.key.write_bytes(pair.key)
