"""Where the certificates of one side of a connection lie."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. They are read again when they change, so whoever renews a certificate only replaces the files."""

    certificate: Path
    """Our certificate, then the intermediate ones."""
    key: Path
    """Its private key, without a passphrase."""
    authorities: Path
    """The authorities of which the other side must have its certificate; two while one is replaced."""
