import json

import pytest

from .test_settings import read, refused

OIDC = {
    "JWT_SECRET": None,
    "OIDC_ISSUER": "https://id.shop.example/realm",
    "OIDC_AUDIENCE": "shop",
    "OIDC_JWKS_URL": "https://id.shop.example/realm/keys",
}


def test_an_issuer_signs_buyers_in_instead_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuer and audience are enough; algorithms are those of key pairs."""
    settings = read(monkeypatch, **{**OIDC, "OIDC_JWKS_URL": None, "ALLOW_GUESTS": "false"})

    assert settings.oidc_issuer == "https://id.shop.example/realm"
    assert settings.oidc_algorithms == ("RS256", "PS256", "ES256", "EdDSA")


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Algorithms and networks, and they are printed as they are meant."""
    with pytest.raises(SystemExit):
        read(
            monkeypatch,
            "--print-settings",
            **OIDC,
            OIDC_ALGORITHMS="ES256, EdDSA",
            TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::/32,192.0.2.1",
        )

    shown = json.loads(capsys.readouterr().out)
    assert shown["oidc_algorithms"] == ["ES256", "EdDSA"]
    assert shown["trusted_proxies"] == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"]


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({**OIDC, "JWT_SECRET": "hush-tokens-hush-tokens-hush-tokens"}, "JWT_SECRET"),
        ({**OIDC, "JWT_AUDIENCE": "hush"}, "JWT_SECRET"),
        ({**OIDC, "OIDC_AUDIENCE": None}, "OIDC_AUDIENCE"),
        ({**OIDC, "OIDC_ISSUER": None}, "OIDC_ISSUER"),
        ({"OIDC_AUDIENCE": "hush"}, "OIDC_ISSUER"),
        ({**OIDC, "OIDC_ISSUER": "hush.example"}, "OIDC_ISSUER"),
        ({**OIDC, "OIDC_ISSUER": "https://hush:hush@id.example"}, "OIDC_ISSUER"),
        ({**OIDC, "OIDC_JWKS_URL": "file:///hush"}, "OIDC_JWKS_URL"),
        ({**OIDC, "OIDC_JWKS_URL": "https://id.example/keys?token=hush"}, "OIDC_JWKS_URL"),
        ({**OIDC, "OIDC_ALGORITHMS": "none"}, "OIDC_ALGORITHMS"),
        ({**OIDC, "OIDC_ALGORITHMS": "RS256,HS256"}, "OIDC_ALGORITHMS"),
        ({**OIDC, "OIDC_ALGORITHMS": " , "}, "OIDC_ALGORITHMS"),
        ({**OIDC, "OIDC_LEEWAY_SECONDS": "3600"}, "OIDC_LEEWAY_SECONDS"),
        ({**OIDC, "OIDC_REFRESH_SECONDS": "1"}, "OIDC_REFRESH_SECONDS"),
        ({**OIDC, "OIDC_REFRESH_SECONDS": "100", "OIDC_MAX_AGE_SECONDS": "99"}, "OIDC_MAX_AGE_SECONDS"),
        ({"TRUSTED_PROXIES": "hush"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "::ffff:10.0.0.0/104"}, "TRUSTED_PROXIES"),
        ({"INITIATE_PER_ADDRESS_BURST": "0"}, "INITIATE_PER_ADDRESS_BURST"),
        ({"INITIATE_PER_USER_PER_MINUTE": "0"}, "INITIATE_PER_USER_PER_MINUTE"),
        ({"LOOKUP_PER_ADDRESS_PER_MINUTE": "nan"}, "LOOKUP_PER_ADDRESS_PER_MINUTE"),
        ({"LOOKUP_PER_ADDRESS_PER_MINUTE": "inf"}, "LOOKUP_PER_ADDRESS_PER_MINUTE"),
    ],
)
def test_what_cannot_work_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    named: str,
    environment: str,
) -> None:
    """Anywhere; the fault names the variable and not its value."""
    code, told = refused(monkeypatch, capsys, ENVIRONMENT=environment, **changes)

    assert code == 2
    assert f"GATEWAY_{named}" in told
    assert "hush" not in told


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({**OIDC, "OIDC_JWKS_URL": "http://id.shop.example/keys"}, "OIDC_JWKS_URL"),
        ({**OIDC, "OIDC_ISSUER": "http://id.shop.example", "OIDC_JWKS_URL": None}, "OIDC_JWKS_URL"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,128.0.0.0/1"}, "TRUSTED_PROXIES"),
    ],
)
def test_what_is_unsafe_starts_only_in_development(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, str | None], named: str
) -> None:
    """Keys over plain HTTP, and proxies that could be anybody."""
    code, told = refused(monkeypatch, capsys, **changes)

    assert code == 2
    assert f"GATEWAY_{named}" in told
    read(monkeypatch, ENVIRONMENT="development", **changes)


def test_an_issuer_is_a_name_where_its_keys_come_over_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched from it then."""
    settings = read(monkeypatch, **{**OIDC, "OIDC_ISSUER": "http://id.internal"})

    assert settings.oidc_issuer == "http://id.internal"
