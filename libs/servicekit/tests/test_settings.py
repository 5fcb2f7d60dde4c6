"""Settings are read once from the environment; what is wrong is named, and no secret is shown."""

import json
from typing import Self

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import EncryptionSettings, GrpcServiceSettings, read_command, read_settings, warn_of_plaintext

SECRET = "correct-horse-battery-staple"


class EchoSettings(GrpcServiceSettings):
    """Repeats what it hears."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True, extra="ignore")

    token: SecretStr = Field(min_length=8, description="What callers show.")
    words: tuple[int, ...] = Field(default=(), description="How many words of each kind.")
    loud: bool = Field(default=False, description="Whether it shouts.")

    @model_validator(mode="after")
    def _no_shouting_in_production(self) -> Self:
        if self.loud and not self.in_development:
            raise ValueError("ECHO_LOUD: only in development")
        return self


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set what is required, and let the test set the rest."""
    monkeypatch.setenv("ECHO_TOKEN", SECRET)
    return monkeypatch


def test_values_come_from_prefixed_variables(env: pytest.MonkeyPatch) -> None:
    """Each field is read from the service's prefix and its name."""
    env.setenv("ECHO_ENVIRONMENT", "development")
    env.setenv("ECHO_METRICS_LISTEN", "[::1]:9000")

    settings = read_command(EchoSettings, [])

    assert settings.in_development
    assert settings.metrics_listen == "[::1]:9000"
    assert settings.token.get_secret_value() == SECRET


def test_nothing_unsafe_is_the_default(env: pytest.MonkeyPatch) -> None:
    """Who says nothing runs in production."""
    settings = read_settings(EchoSettings)

    assert not settings.in_development


def test_a_blank_variable_is_not_set(env: pytest.MonkeyPatch) -> None:
    """A compose file passes on what was never filled in as an empty string."""
    env.setenv("ECHO_METRICS_LISTEN", "")

    settings = read_settings(EchoSettings)

    assert settings.metrics_listen is None


def test_a_blank_secret_is_missing(env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty secret would be one that everybody knows."""
    env.setenv("ECHO_TOKEN", "")

    with pytest.raises(SystemExit):
        read_settings(EchoSettings)

    assert "ECHO_TOKEN: Field required" in capsys.readouterr().err


def test_settings_do_not_change_once_read(env: pytest.MonkeyPatch) -> None:
    """They are read once and stay."""
    settings = read_settings(EchoSettings)

    with pytest.raises(ValidationError, match="frozen"):
        settings.loud = True  # type: ignore[misc]  # the very thing refused


def test_printing_masks_secrets(env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--print-settings shows what is in force as JSON, secrets as stars, and exits with 0."""
    with pytest.raises(SystemExit) as left:
        read_command(EchoSettings, ["--print-settings"])

    printed = capsys.readouterr().out
    assert left.value.code == 0
    assert SECRET not in printed
    assert json.loads(printed)["token"] == "**********"
    assert json.loads(printed)["drain_seconds"] == 10


def test_every_fault_is_named_by_its_variable(env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All faults at once, each by the variable to change, and exit with 2."""
    env.setenv("ECHO_LOG_LEVEL", "shout")
    env.setenv("ECHO_DRAIN_SECONDS", "-1")
    env.setenv("ECHO_WORDS", '[1, "many"]')

    with pytest.raises(SystemExit) as left:
        read_command(EchoSettings, [])

    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "  ECHO_LOG_LEVEL: Input should be" in said
    assert "  ECHO_DRAIN_SECONDS: Input should be" in said
    assert "  ECHO_WORDS[1]: Input should be" in said


def test_a_fault_never_shows_the_value(env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The value may be half of a secret."""
    env.setenv("ECHO_TOKEN", "hunter2")

    with pytest.raises(SystemExit):
        read_command(EchoSettings, ["--print-settings"])

    said = capsys.readouterr()
    assert "ECHO_TOKEN: " in said.err
    assert "hunter2" not in said.err + said.out


def test_an_unreadable_list_names_its_field(env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is not even JSON is a fault like any other."""
    env.setenv("ECHO_WORDS", "one,two")

    with pytest.raises(SystemExit) as left:
        read_command(EchoSettings, [])

    said = capsys.readouterr().err
    assert left.value.code == 2
    assert '"words"' in said
    assert "one,two" not in said


def test_a_fault_of_several_fields_says_its_own_words(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check across fields has no variable of its own."""
    env.setenv("ECHO_LOUD", "true")

    with pytest.raises(SystemExit) as left:
        read_command(EchoSettings, [])

    assert left.value.code == 2
    assert capsys.readouterr().err.endswith("  Value error, ECHO_LOUD: only in development\n")


@pytest.mark.parametrize("listen", ["9000", "host", ":9000", "a:b:1", "host:123456", "two words:1"])
def test_a_listen_address_is_host_and_port(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], listen: str
) -> None:
    """A port alone would listen everywhere without anyone having said so."""
    env.setenv("ECHO_METRICS_LISTEN", listen)

    with pytest.raises(SystemExit):
        read_command(EchoSettings, [])

    assert "ECHO_METRICS_LISTEN: " in capsys.readouterr().err


KEYS = "k1:" + "A" * 42 + "8="


class VaultSettings(EncryptionSettings):
    """Keeps what it hears."""

    model_config = SettingsConfigDict(env_prefix="VAULT_")


def test_keys_are_required_outside_development(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody stores personal data unencrypted because they forgot to say something."""
    with pytest.raises(SystemExit):
        read_settings(VaultSettings)

    assert "VAULT_ENCRYPTION_KEYS: Value error, is required outside development" in capsys.readouterr().err


@pytest.mark.parametrize(("environment", "keys"), [("production", "clear"), ("development", "")])
def test_content_in_the_clear_is_a_choice(monkeypatch: pytest.MonkeyPatch, environment: str, keys: str) -> None:
    """Made by a word in production, and by saying nothing on a developer's machine."""
    monkeypatch.setenv("VAULT_ENVIRONMENT", environment)
    monkeypatch.setenv("VAULT_ENCRYPTION_KEYS", keys)

    assert read_settings(VaultSettings).keyring.first_id == "clear"


def test_keys_are_masked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--print-settings shows that there are some, and no more."""
    monkeypatch.setenv("VAULT_ENCRYPTION_KEYS", KEYS)

    with pytest.raises(SystemExit):
        read_settings(VaultSettings, print_only=True)

    assert '"encryption_keys": "**********"' in capsys.readouterr().out


def test_bad_keys_are_refused_without_showing_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable, the entry and the reason; not the key."""
    monkeypatch.setenv("VAULT_ENCRYPTION_KEYS", KEYS[:-1])

    with pytest.raises(SystemExit):
        read_settings(VaultSettings)

    told = capsys.readouterr().err
    assert "VAULT_ENCRYPTION_KEYS: Value error, the key of entry 1 is not base64" in told
    assert "AAAA" not in told


def test_what_was_told_is_in_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of several settings together would show them all."""
    monkeypatch.setenv("ECHO_TOKEN", SECRET)
    monkeypatch.setenv("ECHO_LOUD", "true")

    with pytest.raises(ValidationError) as refused:
        EchoSettings()

    assert SECRET not in str(refused.value)


TLS_FILES = {"ECHO_TLS_CERT_FILE": "/cert", "ECHO_TLS_KEY_FILE": "/key", "ECHO_TLS_CLIENT_CA_FILE": "/ca"}


def test_no_plaintext_is_served_beyond_this_machine(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless somebody says that something else encrypts."""
    env.setenv("ECHO_LISTEN", "0.0.0.0:7000")

    with pytest.raises(SystemExit) as left:
        read_settings(EchoSettings)

    assert left.value.code == 2
    assert "ECHO_LISTEN: beyond this machine only with TLS" in capsys.readouterr().err


@pytest.mark.parametrize("by", [{"ECHO_ALLOW_PLAINTEXT": "true"}, {"ECHO_ENVIRONMENT": "development"}, TLS_FILES])
def test_plaintext_is_served_where_it_may_be(env: pytest.MonkeyPatch, by: dict[str, str]) -> None:
    """In development, behind a mesh; with certificates there is none."""
    for name, value in {"ECHO_LISTEN": "[::]:7000", **by}.items():
        env.setenv(name, value)

    settings = read_settings(EchoSettings)

    assert settings.plaintext_links == ([] if by is TLS_FILES else ["listen"])


def test_allowed_plaintext_is_warned_of(env: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Loudly, at each start, by the variable."""
    env.setenv("ECHO_LISTEN", "0.0.0.0:7000")
    env.setenv("ECHO_ALLOW_PLAINTEXT", "true")

    warn_of_plaintext(read_settings(EchoSettings))

    (warning,) = caplog.records
    assert (warning.levelname, warning.__dict__["setting"]) == ("WARNING", "ECHO_LISTEN")


@pytest.mark.parametrize("forgotten", sorted(TLS_FILES))
def test_a_part_of_the_certificates_is_none(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], forgotten: str
) -> None:
    """Whoever forgot one file would otherwise speak plaintext, or ask nobody for a certificate."""
    for name in TLS_FILES.keys() - {forgotten}:
        env.setenv(name, TLS_FILES[name])

    with pytest.raises(SystemExit):
        read_settings(EchoSettings)

    assert ", ".join(TLS_FILES) + ": all three or none" in capsys.readouterr().err


def test_names_of_callers_need_certificates(env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A name is nothing without the certificate that proves it."""
    env.setenv("ECHO_TLS_CLIENT_NAMES", "gateway, reconciler")

    with pytest.raises(SystemExit):
        read_settings(EchoSettings)

    assert "ECHO_TLS_CLIENT_NAMES: only with ECHO_TLS_CERT_FILE" in capsys.readouterr().err


@pytest.mark.parametrize("published", ["not-for-production-1234", "k1:bm90LWZvci1wcm9kdWN0aW9uLW5vci1hbnl3aGVyZSE="])
def test_a_published_secret_starts_in_development_only(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], published: str
) -> None:
    """What is there for trying out, and known to everybody, guards nothing real; the refusal does not repeat it."""
    env.setenv("ECHO_TOKEN", published)

    with pytest.raises(SystemExit) as stopped:
        read_settings(EchoSettings)
    said = capsys.readouterr().err
    env.setenv("ECHO_ENVIRONMENT", "development")

    assert stopped.value.code == 2
    assert "ECHO_TOKEN: everybody knows it" in said
    assert published not in said
    assert read_settings(EchoSettings).token.get_secret_value() == published
