import filecmp
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from .rendering import ROOT, Resource, resources, run

CHART = ROOT / "deploy/helm/holdfast"


def template(*options: str) -> dict[tuple[str, str], Resource]:
    """Return the chart's resources by kind and name."""
    rendered = yaml.safe_load_all(run("helm", "template", "holdfast", str(CHART), *options))
    return {(each["kind"], each["metadata"]["name"]): each for each in rendered if each}


def without_namespace(resource: Resource) -> Any:
    """Return a resource as the chart has it: in the release's namespace, its variables in order of their names."""
    if "env" in str(resource):
        resource = yaml.safe_load(yaml.safe_dump(resource))
        for container in resource.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            container["env"].sort(key=lambda each: each["name"])
    metadata = {key: value for key, value in resource["metadata"].items() if key != "namespace"}
    return {**resource, "metadata": metadata}


def test_the_chart_is_current(tmp_path: Path) -> None:
    """`make chart` writes it from the production overlay."""
    run("python", "deploy/tools/chart.py", str(tmp_path))

    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.yaml")}
    committed = {path.relative_to(CHART) for path in CHART.rglob("*.yaml")} - {Path("Chart.yaml")}
    assert written == committed
    assert [path for path in written if not filecmp.cmp(tmp_path / path, CHART / path, shallow=False)] == []


def test_the_chart_renders_what_kustomize_renders() -> None:
    """With the values as they are, and without the namespace, which Helm makes."""
    overlay = {(each["kind"], each["metadata"]["name"]): each for each in resources("production")}
    namespaces = [key for key in overlay if key[0] == "Namespace"]

    expected = {key: without_namespace(each) for key, each in overlay.items() if key not in namespaces}

    assert {key: without_namespace(each) for key, each in template().items()} == expected


@pytest.mark.parametrize(
    ("option", "kind", "shown"),
    [
        ("image.tag=1.2.3", "Job", "orders-migrate-1.2.3"),
        ("image.registry=other.example/x", "Deployment", "other.example/x/orders:0.1.0"),
        ("host=other.example", "Ingress", "other.example"),
        ("settings.orders.ORDERS_LOG_LEVEL=DEBUG", "Deployment", "ORDERS_LOG_LEVEL"),
        ("redis.cidr=10.9.0.0/16", "NetworkPolicy", "10.9.0.0/16"),
        ("externalSecrets.store.name=vault", "ExternalSecret", "'name': 'vault'"),
        ("maxReplicas.orders=9", "HorizontalPodAutoscaler", "'maxReplicas': 9"),
    ],
)
def test_a_value_arrives(option: str, kind: str, shown: str) -> None:
    """In the resources that it is for."""
    assert any(shown in str(each) for (found, _), each in template("--set", option).items() if found == kind)


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ("monitoring=false", {"PrometheusRule", "ServiceMonitor"}),
        ("externalSecrets.enabled=false", {"ExternalSecret"}),
    ],
)
def test_kinds_of_an_operator_are_optional(option: str, kinds: set[str]) -> None:
    """A cluster without the operator does not know them."""
    assert kinds <= {kind for kind, _ in template()}
    assert {kind for kind, _ in template("--set", option)} & kinds == set()
