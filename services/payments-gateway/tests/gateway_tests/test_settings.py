import json
from typing import TypeVar

import pytest
import stripe

from payments_gateway.settings.backends import EACH_OPERATION, BackendSettings
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.settings import read_command

VALID = {
    "GATEWAY_CHECKOUT_SESSION_TARGET": "127.0.0.1:50051",
    "GATEWAY_ORDERS_TARGET": "127.0.0.1:50052",
    "GATEWAY_STRIPE_SECRET_KEY": "sk_test_hush-hush",
    "GATEWAY_STRIPE_PUBLISHABLE_KEY": "pk_test_1",
    "GATEWAY_ATTEMPT_ID_SECRETS": "hush-attempt-ids-hush-attempt-ids, hush-earlier-ids-hush-earlier-ids",
    "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_hush1, whsec_hush2",
    "GATEWAY_JWT_SECRET": "hush-tokens-hush-tokens-hush-tokens",
    "GATEWAY_CUSTOMER_PORTAL_URL": "https://billing.example/p/login/1",
    "GATEWAY_CORS_ORIGINS": "https://shop.example,http://localhost:5173",
}

S = TypeVar("S", bound=BackendSettings)

REMOTE = "dns:///service.example:7002"
OIDC = {
    "JWT_SECRET": None,
    "OIDC_ISSUER": "https://id.shop.example/realm",
    "OIDC_AUDIENCE": "shop",
    "OIDC_JWKS_URL": "https://id.shop.example/realm/keys",
}


def read(monkeypatch: pytest.MonkeyPatch, *argv: str, **changes: str | None) -> GatewaySettings:
    """Read the gateway's settings. See `read_as`."""
    return read_as(GatewaySettings, monkeypatch, *argv, **changes)


def read_as(settings_class: type[S], monkeypatch: pytest.MonkeyPatch, *argv: str, **changes: str | None) -> S:
    """Read settings from an environment; a change to None unsets a variable."""
    for name, value in {**VALID, **{f"GATEWAY_{name}": value for name, value in changes.items()}}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return read_command(settings_class, argv)


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
    assert settings.customer_portal_url == "https://billing.example/p/login/1"
    assert not settings.in_development


def test_print_settings_masks_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything in force is shown, and no secret."""
    with pytest.raises(SystemExit) as stopped:
        read(
            monkeypatch,
            "--print-settings",
            OIDC_ALGORITHMS="ES256, EdDSA",
            TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::/32,192.0.2.1",
        )

    printed = capsys.readouterr().out
    shown = json.loads(printed)
    assert stopped.value.code == 0
    assert "hush" not in printed
    assert shown["orders_target"] == "127.0.0.1:50052"
    assert shown["stripe_secret_key"] == "**********"
    assert shown["stripe_webhook_secrets"] == ["**********", "**********"]
    assert shown["attempt_id_secrets"] == ["**********", "**********"]
    assert shown["oidc_algorithms"] == ["ES256", "EdDSA"]
    assert shown["trusted_proxies"] == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"]


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ATTEMPT_ID_SECRETS": "hush-attempt-ids-hush-attempt-ids,hush-too-short"}, "ATTEMPT_ID_SECRETS"),
        ({"ATTEMPT_ID_SECRETS": None}, "ATTEMPT_ID_SECRETS"),
        ({"ATTEMPT_ID_SECRETS": " , "}, "ATTEMPT_ID_SECRETS"),
        ({"ATTEMPT_ID_SECRETS": ",".join(["hush-attempt-ids-hush-attempt-ids"] * 3)}, "ATTEMPT_ID_SECRETS"),
        ({"JWT_SECRET": "hush-too-short"}, "JWT_SECRET"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_hush1,whsec_hush2,whsec_hush3"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"STRIPE_SECRET_KEY": None}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_SECRET_KEY": "hush"}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_MAX_RETRIES": "hush"}, "STRIPE_MAX_RETRIES"),
        ({"STRIPE_REQUESTS_PER_SECOND": "0"}, "STRIPE_REQUESTS_PER_SECOND"),
        ({"STRIPE_OPERATION_REQUESTS_PER_SECOND": "hush"}, "STRIPE_OPERATION_REQUESTS_PER_SECOND"),
        ({"STRIPE_OPERATION_REQUESTS_PER_SECOND": "25,POST /v1/customers=0"}, "STRIPE_OPERATION_REQUESTS_PER_SECOND"),
        (
            {"STRIPE_OPERATION_REQUESTS_PER_SECOND": "25,POST /v1/customers=hush"},
            "STRIPE_OPERATION_REQUESTS_PER_SECOND",
        ),
        (
            {"STRIPE_OPERATION_REQUESTS_PER_SECOND": "25,POST /v1/customers=5,POST /v1/customers=50"},
            "STRIPE_OPERATION_REQUESTS_PER_SECOND",
        ),
        ({"STRIPE_MAX_CONCURRENT": "1"}, "STRIPE_MAX_CONCURRENT"),
        ({"STRIPE_OPERATION_REQUESTS_PER_SECOND": "25,POST /v1/hush=50"}, "STRIPE_OPERATION_REQUESTS_PER_SECOND"),
        ({"STRIPE_OPERATION_REQUESTS_PER_SECOND": "GET /v1/hush/pi_1=50"}, "STRIPE_OPERATION_REQUESTS_PER_SECOND"),
        ({"STRIPE_SHARE": "1.5"}, "STRIPE_SHARE"),
        ({"ORDERS_TARGET": None}, "ORDERS_TARGET"),
        ({"TLS_CERT_FILE": "/hush", "TLS_KEY_FILE": "/hush"}, "TLS_CA_FILE"),
        ({"CORS_ORIGINS": "hush.example"}, "CORS_ORIGINS"),
        ({"CORS_ORIGINS": "https://hush.example/"}, "CORS_ORIGINS"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        ({"CUSTOMER_PORTAL_URL": "hush.example"}, "CUSTOMER_PORTAL_URL"),
        ({"CUSTOMER_PORTAL_RETURN_URL": "hush.example"}, "CUSTOMER_PORTAL_RETURN_URL"),
        ({"LISTEN": "hush"}, "LISTEN"),
        ({"STOREFRONT_DIR": "/hush"}, "STOREFRONT_DIR"),
        ({"STOREFRONT_DIR": "/"}, "STOREFRONT_DIR: Value error, has no index.html"),
        ({"STRIPE_JS_URL": "https://hush.example;script-src * /stripe.js"}, "STRIPE_JS_URL"),
        ({"DEMO_SIGN_IN": "true", "JWT_SECRET": None}, "DEMO_SIGN_IN: requires GATEWAY_JWT_SECRET"),
        ({"PAY_BY_HOURS": "0"}, "PAY_BY_HOURS"),
        ({"PAY_BY_HOURS": "inf"}, "PAY_BY_HOURS"),
        ({"REQUEST_DEADLINE_SECONDS": "nan"}, "REQUEST_DEADLINE_SECONDS"),
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
def test_invalid_settings_do_not_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    named: str,
    environment: str,
) -> None:
    """Anywhere; the message names the variable and does not quote its value, which may be a secret."""
    code, told = refused(monkeypatch, capsys, ENVIRONMENT=environment, **changes)

    assert code == 2
    assert f"GATEWAY_{named}" in told
    assert "hush" not in told


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        *[({"STRIPE_WEBHOOK_SECRETS": secrets}, "STRIPE_WEBHOOK_SECRETS") for secrets in (None, "", " , ")],
        ({"ALLOW_GUESTS": "false", "JWT_SECRET": None}, "JWT_SECRET"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_hush1,whsec_not-for-production"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"CHECKOUT_SESSION_TARGET": REMOTE}, "CHECKOUT_SESSION_TARGET: beyond this machine only with TLS"),
        ({"ORDERS_TARGET": REMOTE}, "ORDERS_TARGET: beyond this machine only with TLS"),
        ({**OIDC, "OIDC_JWKS_URL": "http://id.shop.example/keys"}, "OIDC_JWKS_URL"),
        ({**OIDC, "OIDC_ISSUER": "http://id.shop.example", "OIDC_JWKS_URL": None}, "OIDC_JWKS_URL"),
        ({"CUSTOMER_PORTAL_URL": "http://billing.example/p/login/1"}, "CUSTOMER_PORTAL_URL"),
        ({"CUSTOMER_PORTAL_RETURN_URL": "http://shop.example/account"}, "CUSTOMER_PORTAL_RETURN_URL"),
        ({"STRIPE_JS_URL": "http://127.0.0.1:12111/stripe.js"}, "STRIPE_JS_URL"),
        ({"DEMO_SIGN_IN": "true"}, "DEMO_SIGN_IN: starts in development only"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,128.0.0.0/1"}, "TRUSTED_PROXIES"),
    ],
)
def test_unsafe_settings_start_only_in_development(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, str | None], named: str
) -> None:
    """No webhook secret, nobody or anybody to sign in, published secrets, plaintext, HTTP, vast proxies."""
    code, told = refused(monkeypatch, capsys, **changes)

    assert code == 2
    assert f"GATEWAY_{named}" in told
    read(monkeypatch, ENVIRONMENT="development", **changes)


def test_idle_connections_outlast_those_of_balancers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most close them after 60 seconds."""
    assert read(monkeypatch).keep_alive_seconds > 60


def test_a_remote_service_is_called_with_tls_or_through_a_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plaintext needs an explicit setting."""
    files = {"TLS_CA_FILE": "/ca", "TLS_CERT_FILE": "/cert", "TLS_KEY_FILE": "/key"}

    encrypted = read(monkeypatch, ORDERS_TARGET=REMOTE, **files)
    allowed = read(monkeypatch, ORDERS_TARGET=REMOTE, **dict.fromkeys(files), ALLOW_PLAINTEXT="true")

    assert (encrypted.plaintext_links, allowed.plaintext_links) == ([], ["orders_target"])


@pytest.mark.parametrize(
    ("key", "live"), [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False), ("rk_test_1", False)]
)
def test_the_key_tells_if_money_is_real(monkeypatch: pytest.MonkeyPatch, key: str, *, live: bool) -> None:
    """Intents of the other mode are not ours."""
    assert read(monkeypatch, STRIPE_SECRET_KEY=key).livemode is live


@pytest.mark.parametrize(
    ("changes", "return_url"),
    [
        ({"CUSTOMER_PORTAL_RETURN_URL": "https://shop.example/account"}, "https://shop.example/account"),
        ({}, "https://shop.example"),
        ({"CORS_ORIGINS": None}, None),
    ],
)
def test_the_customer_portal_leads_back_to_the_shop(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], return_url: str | None
) -> None:
    """To the page that is set, else to the first origin; without any, Stripe's own settings say where."""
    assert read(monkeypatch, **changes).portal_return_url == return_url


def test_stripe_js_is_of_the_release_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe names both by one word; @stripe/stripe-js warns of another release than its own."""
    release = stripe.api_version.partition(".")[2]

    assert read(monkeypatch).stripe_js_url == f"https://js.stripe.com/{release}/stripe.js"


@pytest.mark.parametrize(
    ("key", "limit"), [("sk_live_1", 100), ("rk_live_1", 100), ("sk_test_1", 25), ("rk_test_1", 25)]
)
def test_the_limits_are_stripes_own_for_the_mode_of_the_key(
    monkeypatch: pytest.MonkeyPatch, key: str, limit: float
) -> None:
    """An empty setting is none, as in a compose file."""
    settings = read(monkeypatch, STRIPE_SECRET_KEY=key, STRIPE_REQUESTS_PER_SECOND="")

    assert settings.stripe_total_requests_per_second == limit
    assert settings.stripe_operation_requests_per_second == {EACH_OPERATION: 25}


def test_stripe_may_have_raised_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the account, of all operations, and of some of them."""
    operations = "50, POST /v1/payment_intents=100, GET /v1/payment_intents/{id} = 75.5"

    settings = read(monkeypatch, STRIPE_REQUESTS_PER_SECOND="400", STRIPE_OPERATION_REQUESTS_PER_SECOND=operations)

    assert settings.stripe_total_requests_per_second == 400
    assert settings.stripe_operation_requests_per_second == {
        EACH_OPERATION: 50,
        "POST /v1/payment_intents": 100,
        "GET /v1/payment_intents/{id}": 75.5,
    }


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_no_real_money_moves_in_development(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """Where unsafe settings may start, a live key may not."""
    code, said = refused(monkeypatch, capsys, ENVIRONMENT="development", STRIPE_SECRET_KEY=key)

    assert code == 2
    assert "GATEWAY_STRIPE_SECRET_KEY: a live key does not start in development" in said


@pytest.mark.parametrize("changes", [{"OIDC_JWKS_URL": None}, {"OIDC_ISSUER": "http://id.internal"}])
def test_an_issuer_replaces_the_shared_secret(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]) -> None:
    """By discovery, or as a mere name where its keys come over https."""
    settings = read(monkeypatch, **{**OIDC, "ALLOW_GUESTS": "false", **changes})

    assert settings.oidc_algorithms == ("RS256", "PS256", "ES256", "EdDSA")


def test_a_reconciler_reads_its_own_settings_and_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs neither webhook secrets nor a publishable key; the shares leave a tenth for the operator's command."""
    own = {"RECONCILE_LISTEN": "127.0.0.1:9090", "STRIPE_WEBHOOK_SECRETS": None, "STRIPE_PUBLISHABLE_KEY": None}
    gateway = read(monkeypatch)

    reconciler = read_as(ReconcilerSettings, monkeypatch, **own)

    assert (reconciler.reconcile_listen, reconciler.orders_target) == ("127.0.0.1:9090", gateway.orders_target)
    assert gateway.stripe_share + reconciler.reconcile_stripe_share == pytest.approx(0.9)
