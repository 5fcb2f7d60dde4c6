import re
from decimal import Decimal

import pytest

from orders.settings import OrdersSettings
from payments_gateway.settings.gateway import GatewaySettings
from servicekit.health import Readiness
from tests.settings_of_services import SETTINGS

from .rendering import OURS, OVERLAYS, Workload, of_kind, workloads

LISTENERS = {
    "checkout-session": {"grpc": "CHECKOUT_SESSION_LISTEN", "metrics": "CHECKOUT_SESSION_METRICS_LISTEN"},
    "orders": {"grpc": "ORDERS_LISTEN", "metrics": "ORDERS_METRICS_LISTEN"},
    "orders-migrate": {},
    "payments-gateway": {"http": "GATEWAY_LISTEN"},
    "reconciler": {"metrics": "GATEWAY_RECONCILE_LISTEN"},
}
"""Variable with the address that a process listens on, by the name of its port."""
SERVING = tuple(name for name in OURS if name != "orders-migrate")
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[KMGT]i)?")
UNITS: dict[str, Decimal | int] = {"m": Decimal("0.001"), "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
EVERYWHERE = [(overlay, name) for overlay in OVERLAYS for name in workloads(overlay)]
EACH_WORKLOAD = pytest.mark.parametrize(("overlay", "name"), EVERYWHERE)
EACH_SERVICE = pytest.mark.parametrize(("overlay", "name"), [each for each in EVERYWHERE if each[1] in SERVING])


def quantity(text: object) -> Decimal:
    """Return a quantity as a number. Raises AssertionError if it is none."""
    found = QUANTITY.fullmatch(str(text))
    assert found, text
    return Decimal(found[1]) * UNITS.get(found[2] or "", 1)


def setting(workload: Workload, field: str) -> float:
    """Return a setting as a workload's environment or its default has it; 0 if the process has none."""
    settings = SETTINGS[workload.name]
    if field not in settings.model_fields:
        return 0
    return float(workload.values.get(settings.variable(field), settings.model_fields[field].default))


@pytest.mark.parametrize(("overlay", "name"), [each for each in EVERYWHERE if each[1] in OURS])
def test_ports_are_those_on_which_the_process_listens(overlay: str, name: str) -> None:
    """On every interface: on loopback alone neither the kubelet nor a caller would reach it."""
    workload = workloads(overlay)[name]

    listens = {port: workload.values[variable] for port, variable in LISTENERS[name].items()}

    assert listens == {port: f"0.0.0.0:{number}" for port, number in workload.ports.items()}


@EACH_SERVICE
def test_probes_point_at_what_the_process_serves(overlay: str, name: str) -> None:
    """Only readiness may ask others: a restart does not bring Redis back."""
    workload = workloads(overlay)[name]
    probes = {kind: workload.container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}

    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    assert {probe["path"] for probe in probes.values()} == set(Readiness(()).probes)
    assert {probe["port"] for probe in probes.values()} <= workload.ports.keys() - {"grpc"}


@EACH_SERVICE
def test_the_grace_period_covers_lame_duck_and_drain(overlay: str, name: str) -> None:
    """After SIGKILL nothing is drained. The lame-duck time lets balancers see that a pod ends."""
    workload = workloads(overlay)[name]

    lame_duck = setting(workload, "lame_duck_seconds")

    assert lame_duck >= (0 if name == "reconciler" else 5)
    assert workload.pod["terminationGracePeriodSeconds"] >= lame_duck + setting(workload, "drain_seconds") + 5


def test_the_drain_outlasts_the_longest_deadline() -> None:
    """A call in flight at SIGTERM ends by itself."""
    gateway, orders = GatewaySettings.model_fields, OrdersSettings.model_fields

    assert gateway["drain_seconds"].default > gateway["request_deadline_seconds"].default
    assert orders["drain_seconds"].default > gateway["service_timeout_seconds"].default


@EACH_WORKLOAD
def test_a_pod_meets_the_restricted_standard_and_more(overlay: str, name: str) -> None:
    """Pod Security "restricted", a read-only root, no token, and no variables of every Service."""
    workload = workloads(overlay)[name]
    pod, container = workload.pod, workload.container["securityContext"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod.keys() & {"hostNetwork", "hostPID", "hostIPC"} == set()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_workload_of_ours_has_an_account_of_its_own(overlay: str) -> None:
    """So that a right given to one is not given to all. None of them needs the API."""
    accounts = {each["metadata"]["name"]: each for each in of_kind(overlay, "ServiceAccount")}

    used = {name: workloads(overlay)[name].pod["serviceAccountName"] for name in OURS}

    assert used == {name: name for name in OURS}
    assert {name: account["automountServiceAccountToken"] for name, account in accounts.items()} == dict.fromkeys(
        OURS, False
    )


@EACH_WORKLOAD
def test_requests_are_within_limits(overlay: str, name: str) -> None:
    """CPU and memory, both with both."""
    resources = workloads(overlay)[name].container["resources"]

    for kind in ("cpu", "memory"):
        assert 0 < quantity(resources["requests"][kind]) <= quantity(resources["limits"][kind])


@EACH_WORKLOAD
def test_mounts_have_volumes_and_volumes_are_mounted(overlay: str, name: str) -> None:
    """And a claim that a volume names exists."""
    workload = workloads(overlay)[name]
    volumes = {each["name"]: each for each in workload.pod.get("volumes", ())}
    claims = {each["metadata"]["name"] for each in of_kind(overlay, "PersistentVolumeClaim")}

    assert set(workload.mounts().values()) == volumes.keys()
    assert {
        each["persistentVolumeClaim"]["claimName"] for each in volumes.values() if "persistentVolumeClaim" in each
    } <= claims


@EACH_WORKLOAD
def test_an_image_is_pinned(overlay: str, name: str) -> None:
    """By a tag that is not `latest`; in production by a version, which no later build takes."""
    _, _, tag = workloads(overlay)[name].container["image"].rpartition(":")

    assert re.fullmatch(r"\d+\.\d+\.\d+" if overlay == "production" else r"dev|\d[\w.-]*", tag)


@EACH_SERVICE
def test_pods_spread_over_zones_and_nodes(overlay: str, name: str) -> None:
    """Two replicas on one node fall together."""
    workload = workloads(overlay)[name]
    spread = workload.pod["topologySpreadConstraints"]

    assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(each["labelSelector"]["matchLabels"].items() <= workload.labels.items() for each in spread)
