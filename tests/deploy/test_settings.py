from collections import Counter

import pytest

from tests.settings_of_services import KEYS, SETTINGS

from .rendering import OURS, OVERLAYS, of_kind, workloads

SECRETS = {
    "redis-url": "rediss://:secret@redis.example:6379/0",
    "database-url": "postgresql://orders:secret@postgres.example/orders?sslmode=verify-full",
    "encryption-keys": KEYS,
    "stripe-secret-key": "rk_live_1",
    "stripe-webhook-secrets": "whsec_1",
    "attempt-id-secrets": "c" * 32,
}
SECRET_FIELDS = ("Secret", "Keyring")
IN_EVERY_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)
OF_EACH_SERVICE = pytest.mark.parametrize("service", OURS)


def variables(service: str) -> set[str]:
    """Return every variable that a service reads."""
    return {SETTINGS[service].variable(field) for field in SETTINGS[service].model_fields}


def required(service: str) -> set[str]:
    """Return the variables without which a service does not start outside development."""
    fields = SETTINGS[service].model_fields
    outside_development = {"encryption_keys", "stripe_webhook_secrets"} & fields.keys()
    needed = {name for name, field in fields.items() if field.is_required()} | outside_development
    return {SETTINGS[service].variable(field) for field in needed}


def secret(service: str) -> set[str]:
    """Return the variables that hold secrets."""
    fields = SETTINGS[service].model_fields
    return {
        SETTINGS[service].variable(name)
        for name, field in fields.items()
        if any(word in str(field.annotation) for word in SECRET_FIELDS)
    }


@IN_EVERY_OVERLAY
@OF_EACH_SERVICE
def test_variables_are_settings_and_each_is_given_once(overlay: str, service: str) -> None:
    """A process would silently ignore a misspelt one, and of two the later one wins."""
    given = Counter(each["name"] for each in workloads(overlay)[service].env)

    assert given.keys() - variables(service) == set()
    assert required(service) - given.keys() == set()
    assert {name for name, count in given.items() if count > 1} == set()


@IN_EVERY_OVERLAY
@OF_EACH_SERVICE
def test_secrets_come_from_secrets_and_nothing_else_does(overlay: str, service: str) -> None:
    """A value in a manifest is read by everybody who may read Deployments."""
    workload = workloads(overlay)[service]

    referenced = {each["name"] for each in workload.env if "valueFrom" in each}

    assert referenced == secret(service) & {each["name"] for each in workload.env}
    assert [each for each in workload.env if "valueFrom" in each and "secretKeyRef" not in each["valueFrom"]] == []


@OF_EACH_SERVICE
def test_production_accepts_the_environment(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """Outside development, over TLS everywhere, with secrets of valid form."""
    for each in workloads("production")[service].env:
        monkeypatch.setenv(each["name"], each.get("value") or SECRETS[each["valueFrom"]["secretKeyRef"]["key"]])

    settings = SETTINGS[service]()

    assert not settings.in_development
    assert list(settings.plaintext_links) == []


@IN_EVERY_OVERLAY
def test_no_config_map_holds_anything(overlay: str) -> None:
    """Settings are in the Deployments: a change rolls out new pods by itself."""
    assert list(of_kind(overlay, "ConfigMap")) == []


def test_secrets_hold_what_is_referenced() -> None:
    """Those that the local overlay makes, and those that External Secrets makes in production: nothing else there."""
    made = {each["metadata"]["name"]: set(each["data"]) for each in of_kind("local", "Secret")}
    external = {
        each["spec"]["target"]["name"]: {entry["secretKey"] for entry in each["spec"]["data"]}
        for each in of_kind("production", "ExternalSecret")
    }

    for name, keys in referenced("local").items():
        assert keys <= made[name], name
    assert external == referenced("production")


def referenced(overlay: str) -> dict[str, set[str]]:
    """Return the keys that workloads read of each Secret."""
    found: dict[str, set[str]] = {}
    for workload in workloads(overlay).values():
        for reference in (each["valueFrom"]["secretKeyRef"] for each in workload.env if "valueFrom" in each):
            found.setdefault(reference["name"], set()).add(reference["key"])
    return found
