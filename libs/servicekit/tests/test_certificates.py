"""Certificates are followed as their files change, and what cannot be used changes nothing."""

from collections.abc import Callable
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
from servicekit.certificates import Certificates, CertificateUnusable
from servicekit.tls_files import TlsFiles

Logged = Callable[..., list[dict[str, Any]]]
HOLDER = "orders"


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """Give certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@pytest.fixture
def files(folder: CertificateFolder) -> TlsFiles:
    """Name the files of one holder."""
    return TlsFiles(folder.certificate_of(HOLDER), folder.key_of(HOLDER), folder.authorities)


def _followed(files: TlsFiles) -> Certificates:
    return Certificates("test", files, look_every_seconds=0)


def test_renewed_files_are_taken(folder: CertificateFolder, files: TlsFiles, logged: Logged) -> None:
    """Whoever renews a certificate only replaces files."""
    certificates = _followed(files)
    before = certificates.current()

    folder.renew()

    after = certificates.current()
    assert after.certificate == files.certificate.read_bytes() != before.certificate
    assert after.key == files.key.read_bytes() != before.key
    assert [line["message"] for line in logged("servicekit.certificates")] == ["certificate renewed"]


def test_a_replaced_authority_is_taken(folder: CertificateFolder, files: TlsFiles) -> None:
    """The certificate stays, and both authorities are trusted."""
    certificates = _followed(files)

    folder.add_authority()

    assert len(x509.load_pem_x509_certificates(certificates.current().authorities)) == 2


def test_files_that_stay_give_the_same_credentials(files: TlsFiles) -> None:
    """So that whoever holds them sees by identity whether anything changed."""
    certificates = _followed(files)

    assert certificates.current() is certificates.current()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.certificate.write_bytes(files.certificate.read_bytes()[:100]),
        lambda files: files.certificate.write_bytes(b""),
        lambda files: files.certificate.unlink(),
        lambda files: files.key.write_bytes(files.key.read_bytes()[:100]),
        lambda files: files.key.write_bytes(_issued().key),
        lambda files: files.certificate.write_bytes(_issued().certificate),
        lambda files: files.authorities.write_bytes(b"no certificate"),
        lambda files: _put(files, _issued(ends=datetime.now(UTC) - timedelta(minutes=1))),
        lambda files: _put(files, _too_weak()),
    ],
    ids=[
        "half-cert",
        "empty-cert",
        "no-cert",
        "half-key",
        "other-key",
        "other-cert",
        "no-authority",
        "expired",
        "weak",
    ],
)
def test_what_cannot_be_used_changes_nothing(
    files: TlsFiles, logged: Logged, spoil: Callable[[TlsFiles], object]
) -> None:
    """The last good ones stay in force, and one line of the log says why."""
    certificates = _followed(files)
    good = certificates.current()

    spoil(files)

    assert certificates.current() is good
    assert certificates.current() is good
    (line,) = logged("servicekit.certificates")
    assert (line["level"], line["use"]) == ("error", "test")
    assert str(files.certificate.parent) in line["reason"]


def test_what_was_mended_is_taken(files: TlsFiles) -> None:
    """After a mismatch while files were copied one by one, the pair that is whole counts."""
    certificates = _followed(files)
    fresh = _issued()
    files.certificate.write_bytes(fresh.certificate)
    certificates.current()

    files.key.write_bytes(fresh.key)

    assert certificates.current().certificate == fresh.certificate


def test_unusable_files_do_not_start(files: TlsFiles) -> None:
    """There is no last good pair to go on with: the file and the fault are named, the key is not shown."""
    secret = files.key.read_bytes()
    files.key.write_bytes(secret[:100])

    with pytest.raises(CertificateUnusable, match=str(files.key)) as refused:
        _followed(files)

    assert secret[30:90].decode() not in str(refused.value)


def test_the_files_are_not_read_at_each_use(folder: CertificateFolder, files: TlsFiles) -> None:
    """A look a second is enough."""
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


def test_a_metric_tells_when_the_certificate_ends(files: TlsFiles) -> None:
    """An alert on it sees a renewal that failed in whatever way, and a scrape alone is a look at the files."""
    _certificates = _followed(files)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)

    _put(files, _issued(ends=ends))

    assert REGISTRY.get_sample_value("tls_certificate_expiry_timestamp_seconds", {"use": "test"}) == ends.timestamp()


def test_the_key_is_in_no_repr(files: TlsFiles) -> None:
    """Credentials that end up in a traceback give nothing away."""
    credentials = _followed(files).current()

    assert credentials.key[30:90].decode() not in repr(credentials)


def _issued(*, ends: datetime | None = None) -> KeyPair:
    return Authority().issue(HOLDER, ends=ends)


def _too_weak() -> KeyPair:
    """Return a pair with nothing wrong but its key, which OpenSSL finds too small."""
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


def _put(files: TlsFiles, pair: KeyPair) -> None:
    files.certificate.write_bytes(pair.certificate)
    files.key.write_bytes(pair.key)
