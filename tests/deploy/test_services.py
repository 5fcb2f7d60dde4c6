import re

import pytest

from .rendering import OVERLAYS, Resource, matches, of_kind, workloads

HEADLESS = {"checkout-session", "orders", "reconciler"}
TARGETS = {"GATEWAY_CHECKOUT_SESSION_TARGET": "grpc", "GATEWAY_ORDERS_TARGET": "grpc"}
IN_EVERY_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)


def services(overlay: str) -> dict[str, Resource]:
    """Return the specifications of the Services by name."""
    return {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "Service")}


@IN_EVERY_OVERLAY
def test_a_service_selects_the_workload_of_its_name_and_its_ports(overlay: str) -> None:
    """By exactly one workload's labels, and ports that its container has by the same name."""
    for name, service in services(overlay).items():
        selected = [each for each in workloads(overlay).values() if matches(service["selector"], each.labels)]

        assert [each.name for each in selected] == [name]
        assert {each["targetPort"]: each["port"] for each in service["ports"]} == selected[0].ports


@IN_EVERY_OVERLAY
def test_port_names_are_short_enough(overlay: str) -> None:
    """Kubernetes allows 15 characters, lower case, digits and hyphens."""
    names = {name for workload in workloads(overlay).values() for name in workload.ports}

    assert all(re.fullmatch(r"[a-z][a-z0-9-]{0,14}", name) for name in names)


@IN_EVERY_OVERLAY
def test_grpc_is_balanced_by_its_clients(overlay: str) -> None:
    """One connection to a virtual address would stay with one pod for its whole life."""
    for name, service in services(overlay).items():
        assert (service.get("clusterIP") == "None") == (name in HEADLESS)
    for name in ("payments-gateway", "reconciler"):
        for variable, port in TARGETS.items():
            scheme, host, number = re.split(r":///|:", workloads(overlay)[name].values[variable])
            assert scheme == "dns"
            assert port in {each["name"] for each in services(overlay)[host]["ports"] if each["port"] == int(number)}


@IN_EVERY_OVERLAY
def test_selectors_of_workloads_match_their_own_pods_alone(overlay: str) -> None:
    """Deployments that share pods delete each other's."""
    found = workloads(overlay).values()

    for each in (each for each in found if each.resource["kind"] == "Deployment"):
        selector = each.resource["spec"]["selector"]["matchLabels"]
        assert [other.name for other in found if matches(selector, other.labels)] == [each.name]


@IN_EVERY_OVERLAY
def test_a_node_is_drained_one_pod_at_a_time(overlay: str) -> None:
    """Each service of ours has one disruption budget, and two replicas at least."""
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "PodDisruptionBudget")}

    for name, workload in workloads(overlay).items():
        if name not in budgets:
            continue
        assert matches(budgets[name]["selector"]["matchLabels"], workload.labels)
        assert budgets[name]["maxUnavailable"] == 1
    assert set(budgets) == {"checkout-session", "orders", "payments-gateway", "reconciler"}


@IN_EVERY_OVERLAY
def test_everything_is_in_one_namespace_that_is_restricted(overlay: str) -> None:
    """Names resolve within it, and Pod Security refuses pods that are less confined."""
    (namespace,) = of_kind(overlay, "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = {each["metadata"].get("namespace") for kind in OVERLAYS for each in of_kind(kind, *NAMESPACED)}
    assert others == {namespace["metadata"]["name"]}


NAMESPACED = (
    "Deployment",
    "Job",
    "Service",
    "ServiceAccount",
    "Secret",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
)
