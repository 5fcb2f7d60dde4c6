"""A test authority and the TLS certificates of every part of a stack. For development and tests only.

trustme signs the certificates. This module keeps them in a folder, renews them, and replaces their authority while the
stack runs, which trustme does not do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devstack.layout import write_private

LEAF_LIFE: Final = timedelta(days=30)
THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")

HOLDERS: Final = {
    "checkout-session": ("checkout-session", *THIS_MACHINE),
    "orders": ("orders", *THIS_MACHINE),
    "payments-gateway": ("payments-gateway",),
    "redis": ("redis", *THIS_MACHINE),
    "postgres": ("postgres", *THIS_MACHINE),
    "unauthorized-client": ("unauthorized-client",),
}
"""Host names of each certificate. The unauthorized client's is trusted, and no service accepts its name."""


class NoAuthority(RuntimeError):
    """The folder has no authority yet."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Authority:
    """Signs certificates."""

    def __init__(self, ca: trustme.CA | None = None) -> None:
        """Use an authority that exists, or make one."""
        self._ca = ca or trustme.CA()

    @property
    def key_pair(self) -> KeyPair:
        """The authority's own certificate and key."""
        return KeyPair(self._ca.cert_pem.bytes(), self._ca.private_key_pem.bytes())

    def issue(self, name: str, hosts: Sequence[str] = (), *, ends: datetime | None = None) -> KeyPair:
        """Sign a server and client certificate for these host names and addresses; by default for its name alone."""
        leaf = self._ca.issue_cert(
            *(hosts or (name,)), common_name=name, not_after=ends or datetime.now(UTC) + LEAF_LIFE
        )
        return KeyPair(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())


class CertificateFolder:
    """The certificates of a stack, renewed in place while services run and reload them.

    Replacing the authority takes three steps: add_authority, renew, keep_newest_authority. Every service must have
    reloaded the files before the next step.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def authorities(self) -> Path:
        """The file with the trusted authorities' certificates, newest first."""
        return self._folder / "ca.pem"

    def certificate_of(self, holder: str) -> Path:
        """Return the file of a holder's certificate."""
        return self._folder / f"{holder}.pem"

    def key_of(self, holder: str) -> Path:
        """Return the file of a holder's private key."""
        return self._folder / f"{holder}.key"

    def make(self) -> None:
        """Make missing certificates and renew those that end soon. An existing authority stays."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.authorities.exists():
            self._write_authority(Authority(), b"")
        self._issue([holder for holder in HOLDERS if self._is_due(holder)])

    def renew(self) -> None:
        """Replace every certificate by one that the newest authority signs."""
        self._issue(list(HOLDERS))

    def add_authority(self) -> None:
        """Trust a new authority in addition to the existing ones, and sign with it from now on."""
        self._write_authority(Authority(), self._trusted())

    def keep_newest_authority(self) -> None:
        """Trust the newest authority alone."""
        newest = x509.load_pem_x509_certificates(self._trusted())[0]
        write_private(self.authorities, newest.public_bytes(Encoding.PEM).decode())

    def authority(self) -> Authority:
        """Return the authority that signs. Raises NoAuthority if there is none yet."""
        newest = x509.load_pem_x509_certificates(self._trusted())[0]
        return Authority(trustme.CA.from_pem(newest.public_bytes(Encoding.PEM), self._authority_key.read_bytes()))

    def put(self, holder: str, pair: KeyPair) -> None:
        """Write a holder's certificate and key, each file atomically."""
        write_private(self.key_of(holder), pair.key.decode())
        write_private(self.certificate_of(holder), pair.certificate.decode())

    @property
    def _authority_key(self) -> Path:
        return self._folder / "ca.key"

    def _trusted(self) -> bytes:
        try:
            return self.authorities.read_bytes()
        except FileNotFoundError:
            raise NoAuthority(f"no authority in {self._folder}: run `make certs`") from None

    def _write_authority(self, authority: Authority, trusted_before: bytes) -> None:
        write_private(self._authority_key, authority.key_pair.key.decode())
        write_private(self.authorities, (authority.key_pair.certificate + trusted_before).decode())

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
