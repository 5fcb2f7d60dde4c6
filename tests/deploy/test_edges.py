"""Network policies: each connection that the processes open is allowed at both of its ends, and no other is."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from .rendering import OVERLAYS, Resource, Workload, environment, matches, of_kind, workloads

Edge = tuple[str, str, int]
"""Source, target and port."""

_HOST_AND_PORT: Final = re.compile(r"(?:dns:///|://(?:[^@/]*@)?)([a-z-]+):(\d+)")
OUTSIDE: Final = {
    ("checkout-session", "10.20.1.0/24", 6379),
    ("orders", "10.20.2.0/24", 5432),
    ("orders-migrate", "10.20.2.0/24", 5432),
    ("payments-gateway", "0.0.0.0/0", 443),
    ("reconciler", "0.0.0.0/0", 443),
}
"""Edges that leave the production namespace: the stores and Stripe."""
INTO_PRODUCTION: Final = {
    ("nginx-ingress", "payments-gateway", 8080),
    ("monitoring", "payments-gateway", 8080),
    ("monitoring", "reconciler", 8080),
    ("monitoring", "checkout-session", 9090),
    ("monitoring", "orders", 9090),
}


def opened(overlay: str) -> set[Edge]:
    """Return the connections that settings, secrets and commands of the workloads lead to."""
    found = workloads(overlay)
    texts = {
        name: [*environment(overlay, workload).values(), *workload.container.get("command", ())]
        for name, workload in found.items()
    }
    return {
        (name, host, int(port))
        for name, each in texts.items()
        for text in each
        for host, port in _HOST_AND_PORT.findall(text)
        if host in found
    }


def rules(overlay: str, workload: Workload, direction: str) -> Iterator[tuple[Any, Any]]:
    """Yield peers and ports of each rule that applies to a workload's pods."""
    for policy in of_kind(overlay, "NetworkPolicy"):
        if matches(policy["spec"]["podSelector"].get("matchLabels", {}), workload.labels):
            for rule in policy["spec"].get(direction, ()):
                yield rule["to" if direction == "egress" else "from"], rule["ports"]


def allowed(overlay: str) -> set[Edge]:
    """Return the connections between workloads that are allowed to leave the one and to enter the other."""
    found = workloads(overlay).values()
    return {
        (source.name, target.name, port)
        for source in found
        for target in found
        for port in target.ports.values()
        if permits(overlay, source, "egress", target, port) and permits(overlay, target, "ingress", source, port)
    }


def permits(overlay: str, workload: Workload, direction: str, other: Workload, port: int) -> bool:
    """Return True if a rule of a workload names the other as peer and the target's port."""
    target = other if direction == "egress" else workload
    return any(
        any(is_pod(peer, other.labels) for peer in peers) and port in numbers(ports, target)
        for peers, ports in rules(overlay, workload, direction)
    )


def is_pod(peer: Resource, labels: Mapping[str, str]) -> bool:
    """Return True if a peer is a pod of this namespace with these labels."""
    return peer.keys() == {"podSelector"} and matches(peer["podSelector"]["matchLabels"], labels)


def numbers(ports: Any, target: Workload) -> set[int]:
    """Return the numbers of a rule's ports, which may be named."""
    return {each["port"] if isinstance(each["port"], int) else target.ports.get(each["port"], 0) for each in ports}


def beyond(overlay: str, direction: str) -> Iterator[tuple[str, str, int]]:
    """Yield workload, network or namespace, and port of each rule that leads out of the namespace."""
    for workload in workloads(overlay).values():
        for peers, ports in rules(overlay, workload, direction):
            for peer in peers:
                if peer.keys() != {"podSelector"}:
                    for port in numbers(ports, workload):
                        yield workload.name, place(peer), port


def place(peer: Resource) -> str:
    """Return the network or namespace of a peer."""
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    return str(peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_edge_that_the_code_uses_is_allowed_and_no_other(overlay: str) -> None:
    """An edge is named by a setting: without its policy the process would wait for ever."""
    assert allowed(overlay) == opened(overlay)
    assert len(allowed(overlay)) >= 4


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_allowed_that_no_policy_names(overlay: str) -> None:
    """One policy denies both directions to every pod of the namespace."""
    denied = [
        each["spec"]
        for each in of_kind(overlay, "NetworkPolicy")
        if each["spec"]["podSelector"] == {} and not each["spec"].keys() & {"ingress", "egress"}
    ]

    assert [each["policyTypes"] for each in denied] == [["Ingress", "Egress"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_resolves_names(overlay: str) -> None:
    """At the cluster's DNS alone."""
    dns = {(name, port) for name, where, port in beyond(overlay, "egress") if where == "kube-system"}

    assert dns == {(name, 53) for name in workloads(overlay)}


def test_only_the_stores_and_stripe_are_outside() -> None:
    """Stripe's addresses change: that rule allows what is no private network."""
    leaving = {each for each in beyond("production", "egress") if each[1] != "kube-system"}

    assert leaving == OUTSIDE
    assert {each for each in beyond("local", "egress") if each[1] != "kube-system"} == set()


def test_only_the_ingress_and_prometheus_come_in() -> None:
    """Nobody from outside reaches a service behind the gateway."""
    assert {(where, name, port) for name, where, port in beyond("production", "ingress")} == INTO_PRODUCTION
    assert set(beyond("local", "ingress")) == set()
