"""A test authority and the certificates of everything that speaks TLS in a stack. For development and tests only."""

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devstack.layout import write_private

LEAF_LIFE: Final = timedelta(days=30)
AUTHORITY_LIFE: Final = timedelta(days=365)
THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")
_CLOCKS_DIFFER: Final = timedelta(minutes=5)

HOLDERS: Final = {
    "checkout-session": ("checkout-session", *THIS_MACHINE),
    "orders": ("orders", *THIS_MACHINE),
    "payments-gateway": ("payments-gateway",),
    "redis": ("redis", *THIS_MACHINE),
    "postgres": ("postgres", *THIS_MACHINE),
    "stranger": ("stranger",),
}
"""Names in each certificate. The stranger has a certificate of the authority, and no rights anywhere."""


class NoAuthority(RuntimeError):
    """There is no authority here yet."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    pair: Pair

    @classmethod
    def new(cls, *, life: timedelta = AUTHORITY_LIFE) -> "Authority":
        """Make an authority that has signed itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(f"Holdfast test authority {secrets.token_hex(4)}")
        builder = _builder(subject, subject, key.public_key(), datetime.now(UTC) + life)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(_pair(builder.sign(key, hashes.SHA256()), key))

    def issue(self, name: str, hosts: Sequence[str] = (), *, ends: datetime | None = None) -> Pair:
        """Sign a certificate for servers and clients, for these host names and addresses; unset, for its name alone."""
        authority = x509.load_pem_x509_certificate(self.pair.certificate)
        signing_key = load_pem_private_key(self.pair.key, password=None)
        if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
            raise TypeError("not a key of this authority's making")
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(name), authority.subject, key.public_key(), ends or datetime.now(UTC) + LEAF_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(host) for host in hosts or (name,)]), critical=False
        )
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False
        )
        return _pair(builder.sign(signing_key, hashes.SHA256()), key)


class CertificateFolder:
    """The certificates of a stack. Renewing them, and replacing their authority, disturbs nobody who reads them again.

    A new authority comes in three steps, each of which everybody must have read before the next: add_authority, renew,
    keep_newest_authority.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def authorities(self) -> Path:
        """The certificates of the authorities, newest first."""
        return self._folder / "ca.pem"

    def certificate_of(self, holder: str) -> Path:
        """Return where a holder's certificate lies."""
        return self._folder / f"{holder}.pem"

    def key_of(self, holder: str) -> Path:
        """Return where a holder's private key lies."""
        return self._folder / f"{holder}.key"

    def make(self) -> None:
        """Make what is missing or about to end. An authority that is there stays."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.authorities.exists():
            self._write_authority(Authority.new(), b"")
        self._issue([holder for holder in HOLDERS if self._is_due(holder)])

    def renew(self) -> None:
        """Sign every certificate anew, by the newest authority."""
        self._issue(list(HOLDERS))

    def add_authority(self) -> None:
        """Put a new authority beside the ones that are trusted; it signs from now on."""
        self._write_authority(Authority.new(), self._trusted())

    def keep_newest_authority(self) -> None:
        """Trust the newest authority alone."""
        newest = x509.load_pem_x509_certificates(self._trusted())[0]
        write_private(self.authorities, newest.public_bytes(Encoding.PEM).decode())

    def authority(self) -> Authority:
        """Return the authority that signs. Raises NoAuthority if there is none yet."""
        newest = x509.load_pem_x509_certificates(self._trusted())[0]
        return Authority(Pair(newest.public_bytes(Encoding.PEM), self._authority_key.read_bytes()))

    def put(self, holder: str, pair: Pair) -> None:
        """Store a pair as a holder's, each file whole or not at all."""
        write_private(self.key_of(holder), pair.key.decode())
        write_private(self.certificate_of(holder), pair.certificate.decode())

    @property
    def _authority_key(self) -> Path:
        return self._folder / "ca.key"

    def _trusted(self) -> bytes:
        try:
            return self.authorities.read_bytes()
        except FileNotFoundError:
            raise NoAuthority(f"there is no authority in {self._folder} yet: run `make certs`") from None

    def _write_authority(self, authority: Authority, trusted_before: bytes) -> None:
        write_private(self._authority_key, authority.pair.key.decode())
        write_private(self.authorities, (authority.pair.certificate + trusted_before).decode())

    def _issue(self, holders: Sequence[str]) -> None:
        if holders:
            authority = self.authority()
            for holder in holders:
                self.put(holder, authority.issue(holder, HOLDERS[holder]))

    def _is_due(self, holder: str) -> bool:
        try:
            found = x509.load_pem_x509_certificate(self.certificate_of(holder).read_bytes())
        except FileNotFoundError:
            return True
        return found.not_valid_after_utc - datetime.now(UTC) < LEAF_LIFE / 3


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    begins = min(datetime.now(UTC), ends) - _CLOCKS_DIFFER
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
