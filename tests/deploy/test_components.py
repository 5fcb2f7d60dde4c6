import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from tests.settings_of_services import SETTINGS

from .rendering import ROOT, Resource, of_kind, resources, workloads

DOCS = ROOT / "docs"
GAUGES = {"payments-gateway": "holdfast_http_requests_in_flight"}
TLS = Path("/etc/holdfast/tls")
CALLERS = {"payments-gateway", "reconciler"}
PRODUCTION = "production"


def named(kind: str) -> dict[str, Resource]:
    """Return production's resources of a kind by name."""
    return {each["metadata"]["name"]: each["spec"] for each in of_kind(PRODUCTION, kind)}


def test_the_alerts_are_those_of_the_runbook() -> None:
    """docs/operations.md explains each, and its tests check them against the code."""
    (block,) = re.findall(
        r"```yaml\n(.+?)```", (DOCS / "operations.md").read_text().partition("\n## Alerts\n")[2], re.DOTALL
    )

    assert named("PrometheusRule")["holdfast"] == yaml.safe_load(block)


def test_every_service_is_scraped_at_the_port_that_serves_metrics() -> None:
    """By the name of the port: the gRPC port serves none."""
    monitor = named("ServiceMonitor")["holdfast"]
    scraped = {each["port"] for each in monitor["endpoints"]}

    for service in of_kind(PRODUCTION, "Service"):
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert len(scraped & {each["name"] for each in service["spec"]["ports"]}) == 1


@pytest.mark.parametrize("name", sorted(named("HorizontalPodAutoscaler")))
def test_an_autoscaler_alone_sets_the_replicas(name: str) -> None:
    """On CPU and on a gauge that the process has."""
    autoscaler = named("HorizontalPodAutoscaler")[name]
    cpu, in_flight = autoscaler["metrics"]

    assert "replicas" not in workloads(PRODUCTION)[name].resource["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert autoscaler["minReplicas"] >= 2
    assert cpu["containerResource"]["container"] == workloads(PRODUCTION)[name].container["name"]
    assert in_flight["pods"]["metric"]["name"] == GAUGES.get(name, "holdfast_grpc_requests_in_flight")


def test_the_shares_of_stripes_limits_add_up() -> None:
    """All gateways that may run take at most 0.8 of the account, all reconcilers 0.1, and the operator has the rest."""
    gateways = named("HorizontalPodAutoscaler")["payments-gateway"]["maxReplicas"]
    reconciler = workloads(PRODUCTION)["reconciler"]

    assert gateways * float(workloads(PRODUCTION)["payments-gateway"].values["GATEWAY_STRIPE_SHARE"]) <= 0.8
    share = float(reconciler.values["GATEWAY_RECONCILE_STRIPE_SHARE"])
    assert reconciler.resource["spec"]["replicas"] * share <= 0.1


@pytest.mark.parametrize("name", sorted({*CALLERS, "checkout-session", "orders"}))
def test_a_process_reads_its_own_certificate(name: str) -> None:
    """From the Secret that cert-manager writes, at the paths that its settings name."""
    workload, certificate = workloads(PRODUCTION)[name], named("Certificate")[f"{name}-tls"]
    (volume,) = workload.pod["volumes"]
    files = {key: Path(value) for key, value in workload.values.items() if "_TLS_" in key and value.startswith("/")}

    assert workload.mounts() == {str(TLS): volume["name"]}
    assert volume["secret"]["secretName"] == certificate["secretName"]
    assert sorted(files.values()) == [TLS / each for each in ("ca.crt", "tls.crt", "tls.key")]
    assert certificate["dnsNames"] == [name]
    assert certificate["usages"] == ["client auth" if name in CALLERS else "server auth"]


@pytest.mark.parametrize("name", ["checkout-session", "orders"])
def test_a_server_knows_its_callers(name: str) -> None:
    """A certificate of the authority is not enough to call."""
    names = workloads(PRODUCTION)[name].values[SETTINGS[name].variable("tls_client_names")]

    assert set(names.split(",")) == CALLERS


def test_certificates_come_from_issuers_that_exist() -> None:
    """The authority signs the processes' certificates."""
    issuers = named("Issuer").keys()

    assert {each["issuerRef"]["name"] for each in named("Certificate").values()} <= issuers


def test_the_ingress_limits_bodies_and_heads_and_hides_probes() -> None:
    """As docs/security.md asks: Stripe's webhook takes 1 MiB, everything else 256 KiB."""
    ingresses = {each["metadata"]["name"]: each for each in of_kind(PRODUCTION, "Ingress")}
    limits = {
        path["path"]: ingress["metadata"]["annotations"]["nginx.org/client-max-body-size"]
        for ingress in ingresses.values()
        for rule in ingress["spec"]["rules"]
        for path in rule.get("http", {"paths": ()})["paths"]
    }
    host = ingresses["payments-gateway"]

    assert limits.pop("/api/stripe/webhook") == "1m"
    assert set(limits.values()) == {"256k"}
    assert limits.keys() & {"/metrics", "/livez", "/readyz"} == set()
    assert "large_client_header_buffers" in host["metadata"]["annotations"]["nginx.org/server-snippets"]
    assert [each["hosts"] for each in host["spec"]["tls"]] == [[host["spec"]["rules"][0]["host"]]]


def test_production_makes_no_secret() -> None:
    """They come from elsewhere, and the repository holds none."""
    assert [each for each in resources(PRODUCTION) if each["kind"] == "Secret"] == []
