import json

import pytest

from payments_gateway.settings import GatewaySettings
from servicekit.settings import read_command

VALID = {
    "GATEWAY_CHECKOUT_SESSION_TARGET": "127.0.0.1:50051",
    "GATEWAY_ORDERS_TARGET": "127.0.0.1:50052",
    "GATEWAY_STRIPE_SECRET_KEY": "sk_test_hush-hush",
    "GATEWAY_STRIPE_PUBLISHABLE_KEY": "pk_test_1",
    "GATEWAY_ATTEMPT_ID_SECRET": "hush-attempt-ids-hush-attempt-ids",
    "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_hush1, whsec_hush2",
    "GATEWAY_JWT_SECRET": "hush-tokens-hush-tokens-hush-tokens",
    "GATEWAY_CORS_ORIGINS": "https://shop.example,http://localhost:5173",
}


def read(monkeypatch: pytest.MonkeyPatch, *argv: str, **changes: str | None) -> GatewaySettings:
    """Read the settings from an environment; a change to None unsets a variable."""
    for name, value in {**VALID, **{f"GATEWAY_{name}": value for name, value in changes.items()}}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return read_command(GatewaySettings, argv)


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str | None
) -> tuple[int | str | None, str]:
    """Read settings that are refused; returns the exit code and what was printed."""
    with pytest.raises(SystemExit) as stopped:
        read(monkeypatch, **changes)
    return stopped.value.code, capsys.readouterr().err


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are comma separated, secrets stay wrapped."""
    settings = read(monkeypatch)

    assert settings.cors_origins == ("https://shop.example", "http://localhost:5173")
    assert [secret.get_secret_value() for secret in settings.stripe_webhook_secrets] == ["whsec_hush1", "whsec_hush2"]
    assert "hush" not in repr(settings)
    assert not settings.in_development


@pytest.mark.parametrize("secrets", [None, "", " , "])
def test_outside_development_a_webhook_secret_is_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secrets: str | None
) -> None:
    """Without one, no payment would ever be heard of."""
    code, told = refused(monkeypatch, capsys, STRIPE_WEBHOOK_SECRETS=secrets)

    assert code == 2
    assert "GATEWAY_STRIPE_WEBHOOK_SECRETS" in told


def test_in_development_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo starts before there is an endpoint."""
    settings = read(monkeypatch, ENVIRONMENT="development", STRIPE_WEBHOOK_SECRETS=None)

    assert settings.stripe_webhook_secrets == ()


def test_without_guests_there_must_be_a_way_to_sign_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else nobody could buy anything."""
    code, told = refused(monkeypatch, capsys, ALLOW_GUESTS="false", JWT_SECRET=None)

    assert code == 2
    assert "GATEWAY_JWT_SECRET" in told


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ATTEMPT_ID_SECRET", "hush-too-short"),
        ("JWT_SECRET", "hush-too-short"),
        ("STRIPE_WEBHOOK_SECRETS", "whsec_hush1,whsec_hush2,whsec_hush3"),
        ("CORS_ORIGINS", "hush.example"),
        ("CORS_ORIGINS", "https://hush.example/"),
        ("CORS_ORIGINS", "*"),
        ("LISTEN", "hush"),
        ("PAY_BY_HOURS", "hush"),
        ("PAY_BY_HOURS", "0"),
        ("PAY_BY_HOURS", "inf"),
        ("REQUEST_DEADLINE_SECONDS", "nan"),
        ("STRIPE_MAX_RETRIES", "hush"),
        ("ENVIRONMENT", "hush"),
        ("STRIPE_SECRET_KEY", None),
        ("ATTEMPT_ID_SECRET", None),
        ("ORDERS_TARGET", None),
    ],
)
def test_a_fault_is_named_by_its_variable_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str | None
) -> None:
    """The operator learns which variable; its value may be a secret."""
    code, told = refused(monkeypatch, capsys, **{variable: value})

    assert code == 2
    assert f"GATEWAY_{variable}" in told
    assert "hush" not in told


def test_print_settings_masks_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything in force is shown, and no secret."""
    with pytest.raises(SystemExit) as stopped:
        read(monkeypatch, "--print-settings")

    printed = capsys.readouterr().out
    shown = json.loads(printed)
    assert stopped.value.code == 0
    assert "hush" not in printed
    assert shown["orders_target"] == "127.0.0.1:50052"
    assert shown["stripe_secret_key"] == "**********"
    assert shown["stripe_webhook_secrets"] == ["**********", "**********"]


@pytest.mark.parametrize(
    ("key", "live"), [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False), ("rk_test_1", False)]
)
def test_the_key_tells_whether_money_is_real(monkeypatch: pytest.MonkeyPatch, key: str, live: bool) -> None:  # noqa: FBT001 — a column of the table
    """Intents of the other mode are not ours."""
    settings = read(monkeypatch, STRIPE_SECRET_KEY=key)

    assert settings.livemode is live


@pytest.mark.parametrize("setting", ["CHECKOUT_SESSION_TARGET", "ORDERS_TARGET"])
def test_a_service_beyond_this_machine_is_called_with_tls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    """Unless somebody says that a mesh encrypts, or this is a developer's machine."""
    target = "dns:///orders.example:7002"
    files = {"TLS_CA_FILE": "/ca", "TLS_CERT_FILE": "/cert", "TLS_KEY_FILE": "/key"}

    code, said = refused(monkeypatch, capsys, **{setting: target})
    encrypted = read(monkeypatch, **{setting: target}, **files)
    allowed = read(monkeypatch, **{setting: target}, **dict.fromkeys(files), ALLOW_PLAINTEXT="true")

    assert code == 2
    assert f"GATEWAY_{setting}: beyond this machine only with TLS" in said
    assert encrypted.plaintext_links == []
    assert allowed.plaintext_links == [setting.lower()]


def test_a_part_of_the_certificates_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgot one file would otherwise speak plaintext."""
    code, said = refused(monkeypatch, capsys, TLS_CERT_FILE="/cert", TLS_KEY_FILE="/key")

    assert code == 2
    assert "GATEWAY_TLS_CERT_FILE, GATEWAY_TLS_KEY_FILE, GATEWAY_TLS_CA_FILE: all three or none" in said


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_no_real_money_moves_in_development(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """Where unsafe settings may start, a live key may not."""
    code, said = refused(monkeypatch, capsys, ENVIRONMENT="development", STRIPE_SECRET_KEY=key)

    assert code == 2
    assert "GATEWAY_STRIPE_SECRET_KEY: a live key does not start in development" in said


def test_a_published_secret_among_several_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two webhook secrets is enough to forge a payment."""
    _, said = refused(monkeypatch, capsys, STRIPE_WEBHOOK_SECRETS="whsec_hush1,whsec_not-for-production")

    assert "GATEWAY_STRIPE_WEBHOOK_SECRETS: is a published sample" in said
