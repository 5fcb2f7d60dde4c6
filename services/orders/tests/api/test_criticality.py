from checkout.orders.v1 import audit_pb2, operator_pb2, orders_pb2, stripe_events_pb2
from orders.api.servicer import CRITICALITY


def test_every_rpc_with_a_criticality_exists() -> None:
    """A misspelt one would be refused as late as what is paid."""
    files = (audit_pb2, operator_pb2, orders_pb2, stripe_events_pb2)
    rpcs = {
        rpc
        for each in files
        for service in each.DESCRIPTOR.services_by_name.values()
        for rpc in service.methods_by_name
    }

    assert CRITICALITY.keys() - rpcs == set()
