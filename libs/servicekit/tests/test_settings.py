"""Settings are read once from the environment; a fault names its variable, and no secret is shown."""

import json
from typing import Self

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import EncryptionSettings, GrpcServiceSettings, read_command, read_settings, warn_of_plaintext

SECRET = "correct-horse-battery-staple"
KEYS = "k1:" + "A" * 42 + "8="
TLS_FILES = {"ECHO_TLS_CERT_FILE": "/cert", "ECHO_TLS_KEY_FILE": "/key", "ECHO_TLS_CLIENT_CA_FILE": "/ca"}


class EchoSettings(GrpcServiceSettings, EncryptionSettings):
    """A service that repeats what it hears."""

    model_config = SettingsConfigDict(env_prefix="ECHO_")

    token: SecretStr = Field(min_length=8, description="Token of a caller.")
    words: tuple[int, ...] = Field(default=(), description="Number of words of each kind.")
    loud: bool = Field(default=False, description="Shout.")

    @model_validator(mode="after")
    def _no_shouting_in_production(self) -> Self:
        if self.loud and not self.in_development:
            raise ValueError("ECHO_LOUD: only in development")
        return self


class Environment:
    """Environment variables of the service, and the faults that they cause."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys

    def set(self, **variables: str) -> None:
        """Set variables, without the prefix."""
        for name, value in variables.items():
            self._patch.setenv(f"ECHO_{name.removeprefix('ECHO_')}", value)

    def faults(self) -> str:
        """Return the report of a start that is refused with exit code 2."""
        with pytest.raises(SystemExit) as left:
            read_command(EchoSettings, ["--print-settings"])
        output = self._capsys.readouterr()
        assert left.value.code == 2
        assert output.out == ""
        return output.err

    def printed(self) -> str:
        """Return the output of --print-settings."""
        with pytest.raises(SystemExit) as left:
            read_command(EchoSettings, ["--print-settings"])
        assert left.value.code == 0
        return self._capsys.readouterr().out


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Environment:
    """Set the required variables, and let the test set the rest."""
    environment = Environment(monkeypatch, capsys)
    environment.set(TOKEN=SECRET, ENCRYPTION_KEYS=KEYS)
    return environment


def test_the_defaults_are_those_of_production(env: Environment) -> None:
    """A blank variable is unset: a compose file passes an empty string for what was never filled in."""
    env.set(ENVIRONMENT="", METRICS_LISTEN="")

    settings = read_command(EchoSettings, [])

    assert not settings.in_development
    assert settings.metrics_listen is None
    assert settings.token.get_secret_value() == SECRET


def test_printing_masks_secrets(env: Environment) -> None:
    """--print-settings shows the settings in force as JSON, secrets as stars."""
    printed = env.printed()

    assert SECRET not in printed
    assert json.loads(printed)["token"] == json.loads(printed)["encryption_keys"] == "**********"
    assert json.loads(printed)["drain_seconds"] == 10


@pytest.mark.parametrize(
    ("variables", "faults"),
    [
        ({"TOKEN": ""}, ["  ECHO_TOKEN: Field required"]),
        ({"TOKEN": "hunter2"}, ["  ECHO_TOKEN: "]),
        (
            {"LOG_LEVEL": "shout", "DRAIN_SECONDS": "-1", "WORDS": '[1, "many"]'},
            [
                "  ECHO_LOG_LEVEL: Input should be",
                "  ECHO_DRAIN_SECONDS: Input should be",
                "  ECHO_WORDS[1]: Input should be",
            ],
        ),
        ({"WORDS": "one,two"}, ['"words"']),
        ({"LOUD": "true"}, ["  Value error, ECHO_LOUD: only in development\n"]),
        ({"ENCRYPTION_KEYS": KEYS[:-1]}, ["  ECHO_ENCRYPTION_KEYS: Value error, the key of entry 1 is not base64"]),
        ({"TLS_CLIENT_NAMES": "gateway, reconciler"}, ["ECHO_TLS_CLIENT_NAMES: requires ECHO_TLS_CERT_FILE"]),
    ],
)
def test_every_fault_is_named_by_its_variable(env: Environment, variables: dict[str, str], faults: list[str]) -> None:
    """All faults at once, and none with its value: it may be half of a secret."""
    env.set(**variables)

    report = env.faults()

    assert all(fault in report for fault in faults)
    assert not any(value in report for value in ("hunter2", "one,two", "AAAA", SECRET))


@pytest.mark.parametrize("listen", ["9000", "host", ":9000", "a:b:1", "host:123456", "two words:1"])
def test_a_listen_address_is_host_and_port(env: Environment, listen: str) -> None:
    """A port alone would listen on every interface."""
    env.set(METRICS_LISTEN=listen)

    assert "ECHO_METRICS_LISTEN: " in env.faults()


def test_a_traceback_shows_no_settings(env: Environment) -> None:
    """A fault of several settings together would show them all."""
    env.set(LOUD="true")

    with pytest.raises(ValidationError) as refused:
        EchoSettings()

    assert SECRET not in str(refused.value)


def test_keys_are_required_outside_development(env: Environment) -> None:
    """Personal data is not stored unencrypted by omission."""
    env.set(ENCRYPTION_KEYS="")

    assert "ECHO_ENCRYPTION_KEYS: Value error, is required outside development" in env.faults()


@pytest.mark.parametrize(("environment", "keys"), [("production", "clear"), ("development", "")])
def test_unencrypted_content_is_a_choice(env: Environment, environment: str, keys: str) -> None:
    """Made by a word in production, and the default in development."""
    env.set(ENVIRONMENT=environment, ENCRYPTION_KEYS=keys)

    assert read_settings(EchoSettings).keyring.first_id == "clear"


def test_no_plaintext_is_served_beyond_this_machine(env: Environment) -> None:
    """Unless the operator says that something else encrypts."""
    env.set(LISTEN="0.0.0.0:7000")

    assert "ECHO_LISTEN: beyond this machine only with TLS" in env.faults()


@pytest.mark.parametrize("reason", [{"ALLOW_PLAINTEXT": "true"}, {"ENVIRONMENT": "development"}, TLS_FILES])
def test_plaintext_is_served_where_it_is_allowed(
    env: Environment, caplog: pytest.LogCaptureFixture, reason: dict[str, str]
) -> None:
    """In development, or behind a mesh with a warning at each start; with certificates there is none."""
    env.set(LISTEN="[::]:7000", **reason)

    settings = read_settings(EchoSettings)
    warn_of_plaintext(settings)

    warnings = [record.__dict__["setting"] for record in caplog.records if record.levelname == "WARNING"]
    assert settings.plaintext_links == ([] if reason is TLS_FILES else ["listen"])
    assert warnings == (["ECHO_LISTEN"] if "ALLOW_PLAINTEXT" in reason else [])


@pytest.mark.parametrize("missing", sorted(TLS_FILES))
def test_two_of_three_tls_files_are_refused(env: Environment, missing: str) -> None:
    """Without one of them the service would serve plaintext, or ask for no certificate."""
    env.set(**{name: TLS_FILES[name] for name in TLS_FILES.keys() - {missing}})

    assert ", ".join(TLS_FILES) + ": all three or none" in env.faults()


@pytest.mark.parametrize("published", ["not-for-production-1234", "k1:bm90LWZvci1wcm9kdWN0aW9uLW5vci1hbnl3aGVyZSE="])
def test_a_published_secret_starts_in_development_only(env: Environment, published: str) -> None:
    """Everybody knows it; the report does not repeat it."""
    env.set(TOKEN=published)
    report = env.faults()
    env.set(ENVIRONMENT="development")

    assert "ECHO_TOKEN: is a published sample" in report
    assert published not in report
    assert read_settings(EchoSettings).token.get_secret_value() == published
