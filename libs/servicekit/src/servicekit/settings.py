"""Settings: one class per service, read once from the environment, validated at start."""

import argparse
import logging
import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from servicekit.certificates import TlsFiles
from servicekit.encryption import CLEAR, Keyring, KeyringText
from servicekit.load_shedding import DEFAULT_MAX_IN_FLIGHT
from servicekit.plaintext import is_remote_address

_log = logging.getLogger(__name__)

Listen = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$")]
"""Address of a server, as host:port. Port 0 takes a free one."""

MaxInFlight = Annotated[int, Field(ge=4, le=100_000)]
"""Requests that a process serves at once; it refuses more, the least critical ones from a quarter of it on (ADR 51)."""

S = TypeVar("S", bound="ServiceSettings")

DEV_SECRET_MARKER: Final = "not-for-production"  # noqa: S105 - it marks secrets, and is none
"""Part of every sample secret that is published with the code (ADR 19)."""
_MARKERS: Final = (DEV_SECRET_MARKER, b64encode(DEV_SECRET_MARKER.encode()).decode())
"""Second form: a base64 key whose bytes begin with the marker."""


class ServiceSettings(BaseSettings):
    """Settings that every service has. A service adds its own fields and its environment prefix."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # the input contains secrets
        env_ignore_empty=True,  # a blank value in a compose file or manifest is unset, not an empty secret
    )

    environment: Literal["development", "production"] = Field(
        default="production",
        description="In development, server reflection is on and unsafe settings may start.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")
    lame_duck_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Seconds that a server still takes calls after SIGTERM, while its readiness has fallen.",
    )
    drain_seconds: float = Field(
        default=10.0, ge=0, le=300, description="Seconds that calls in flight get to finish after that."
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Allow connections beyond this machine without TLS, because a service mesh encrypts them.",
    )

    @property
    def in_development(self) -> bool:
        """True on a developer's machine."""
        return self.environment == "development"

    @property
    def plaintext_links(self) -> Sequence[str]:
        """Fields whose connections leave this machine without verified TLS."""
        return ()

    def tls_files(self, certificate: str, key: str, authorities: str) -> TlsFiles | None:
        """Return the files that three fields name, or None if all are unset. Raises ValueError if only some are set."""
        fields = (certificate, key, authorities)
        paths: list[Path] = [path for field in fields if (path := getattr(self, field)) is not None]
        if not paths:
            return None
        if len(paths) < len(fields):
            raise ValueError(f"{', '.join(map(self.variable, fields))}: all three or none")
        return TlsFiles(*paths)

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the name of a field's environment variable."""
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    @model_validator(mode="after")
    def _require_tls_beyond_this_machine(self) -> Self:
        if self.plaintext_links and not self.in_development and not self.allow_plaintext:
            raise ValueError(
                f"{', '.join(map(self.variable, self.plaintext_links))}: beyond this machine only with TLS; "
                f"if a service mesh encrypts, set {self.variable('allow_plaintext')}=true"
            )
        return self

    @model_validator(mode="after")
    def _refuse_published_secrets(self) -> Self:
        published = [field for field in type(self).model_fields if _is_published(getattr(self, field))]
        if published and not self.in_development:
            raise ValueError(
                f"{', '.join(map(self.variable, published))}: is a published sample ({DEV_SECRET_MARKER}), "
                "which starts in development only"
            )
        return self


class GrpcServiceSettings(ServiceSettings):
    """Settings of a service that serves gRPC: TLS, and a separate port for metrics."""

    listen: Listen = Field(default="127.0.0.1:7000", description="Address of the gRPC server, host:port.")
    metrics_listen: Listen | None = Field(
        default=None,
        description="Address of Prometheus metrics, /livez and /readyz over HTTP, host:port. Unset serves none.",
    )
    max_in_flight: MaxInFlight = Field(
        default=DEFAULT_MAX_IN_FLIGHT,
        description="Calls in flight from which on every call is refused as `overloaded`; new checkouts from half of "
        "them, background work from a quarter.",
    )
    tls_cert_file: Path | None = Field(default=None, description="PEM file with the certificate shown to callers.")
    tls_key_file: Path | None = Field(default=None, description="PEM file with its private key.")
    tls_client_ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities that must have issued the callers' certificates."
    )
    tls_client_names: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names, comma separated; a caller's certificate must have one of them. Unset: any name.",
    )

    @field_validator("tls_client_names", mode="before")
    @classmethod
    def _split_on_commas(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @model_validator(mode="after")
    def _require_tls_for_client_names(self) -> Self:
        if self.tls_client_names and self.tls is None:
            raise ValueError(f"{self.variable('tls_client_names')}: requires {self.variable('tls_cert_file')}")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """Files for mutual TLS with callers; None serves plaintext."""
        return self.tls_files("tls_cert_file", "tls_key_file", "tls_client_ca_file")

    @property
    def plaintext_links(self) -> Sequence[str]:
        """See ServiceSettings. Metrics and probes do not count: they carry nothing of a checkout."""
        return ["listen"] if self.tls is None and is_remote_address(self.listen) else []


class EncryptionSettings(ServiceSettings):
    """Settings of a service that stores personal content: the keys that encrypt it."""

    encryption_keys: KeyringText | None = Field(
        default=None,
        validate_default=True,
        description="Keys for stored content, <id>:<base64 of 32 bytes>[,...]: the first encrypts, all decrypt. "
        "The word `clear` stands for no key.",
    )

    @field_validator("encryption_keys")
    @classmethod
    def _require_keys_outside_development(cls, keys: KeyringText | None, info: ValidationInfo) -> KeyringText | None:
        if keys is None and info.data.get("environment") != "development":
            raise ValueError(f"is required outside development; the word {CLEAR} stores content unencrypted")
        return keys

    @property
    def keyring(self) -> Keyring:
        """Keys that encrypt and decrypt stored content."""
        keys = self.encryption_keys
        return Keyring.parse(keys.get_secret_value()) if keys else Keyring.unencrypted()


def _is_published(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(_is_published, value))
    return isinstance(value, SecretStr) and any(mark in value.get_secret_value() for mark in _MARKERS)


def warn_of_plaintext(settings: ServiceSettings) -> None:
    """Log a warning for each setting whose connections go unencrypted, except in development."""
    for field in () if settings.in_development else settings.plaintext_links:
        _log.warning("connections beyond this machine are not encrypted", extra={"setting": settings.variable(field)})


def parser_for(settings_class: type[ServiceSettings]) -> argparse.ArgumentParser:
    """Return a command-line parser with --print-settings; a service adds its own commands."""
    parser = argparse.ArgumentParser(description=settings_class.__doc__)
    parser.add_argument(
        "--print-settings", action="store_true", help="print the settings in force, secrets masked, and exit"
    )
    return parser


def read_settings(settings_class: type[S], *, print_only: bool = False) -> S:
    """Read the settings from the environment. Exit with 2 and a line per fault if they are not valid.

    With print_only, print them with secrets masked and exit with 0.
    """
    try:
        settings = settings_class()
    except ValidationError as refused:
        sys.stderr.write(_explain(settings_class, refused))
        raise SystemExit(2) from None
    except SettingsError as unreadable:  # names the field, not the value
        sys.stderr.write(f"{settings_class.__name__} cannot be read:\n  {unreadable}\n")
        raise SystemExit(2) from None
    if print_only:
        sys.stdout.write(settings.model_dump_json(indent=2) + "\n")
        raise SystemExit(0)
    return settings


def read_command(settings_class: type[S], argv: Sequence[str] | None = None) -> S:
    """Read the settings of a service whose only command is to serve."""
    arguments = parser_for(settings_class).parse_args(argv)
    return read_settings(settings_class, print_only=arguments.print_settings)


def _explain(settings_class: type[ServiceSettings], refused: ValidationError) -> str:
    """Name each fault by its environment variable, without the value: it may be a secret."""
    faults = refused.errors(include_input=False, include_url=False, include_context=False)
    lines = [f"  {_variable(settings_class, fault['loc'])}{fault['msg']}\n" for fault in faults]
    return f"{settings_class.__name__} are not valid:\n" + "".join(lines)


def _variable(settings_class: type[ServiceSettings], location: tuple[int | str, ...]) -> str:
    """Return the variable that holds a fault, and the place in it; empty for a fault of several fields."""
    if not location:
        return ""
    within = "".join(f"[{part}]" for part in location[1:])
    return f"{settings_class.variable(str(location[0]))}{within}: "
