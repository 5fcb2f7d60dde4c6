"""Settings: one class per service, read once from the environment, validated at start."""

import argparse
import sys
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

Listen = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$")]
"""Where a server listens, as host:port. Port 0 takes a free one."""

S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """What every service can be told. A service adds its own fields and its environment prefix."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,  # what a compose file or manifest leaves blank is not set, and no empty secret either
    )

    environment: Literal["development", "production"] = Field(
        default="production",
        description="In development, server reflection is on and unsafe settings may start.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")
    drain_seconds: float = Field(
        default=10.0, ge=0, le=300, description="Seconds that calls in flight get to finish after SIGTERM."
    )

    @property
    def in_development(self) -> bool:
        """Whether this is a developer's machine."""
        return self.environment == "development"


class GrpcServiceSettings(ServiceSettings):
    """What a service that speaks only gRPC can be told besides: its metrics need a port of their own."""

    metrics_listen: Listen | None = Field(
        default=None, description="Where Prometheus metrics are served, host:port. Unset serves none."
    )


def parser_for(settings_class: type[ServiceSettings]) -> argparse.ArgumentParser:
    """Return a command-line parser that knows --print-settings; a service adds its own commands."""
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
    """Read the settings of a service that has one command: to serve."""
    arguments = parser_for(settings_class).parse_args(argv)
    return read_settings(settings_class, print_only=arguments.print_settings)


def _explain(settings_class: type[ServiceSettings], refused: ValidationError) -> str:
    """Name each fault by its environment variable, without the value: it may be a secret."""
    faults = refused.errors(include_input=False, include_url=False, include_context=False)
    lines = [f"  {_variable(settings_class, fault['loc'])}{fault['msg']}\n" for fault in faults]
    return f"{settings_class.__name__} are not valid:\n" + "".join(lines)


def _variable(settings_class: type[ServiceSettings], location: tuple[int | str, ...]) -> str:
    """Return the variable that holds a fault, and where in it; nothing for a fault of several together."""
    if not location:
        return ""
    prefix = settings_class.model_config.get("env_prefix", "")
    within = "".join(f"[{part}]" for part in location[1:])
    return f"{prefix}{location[0]}".upper() + f"{within}: "
