from checkout.session.v1 import checkout_session_pb2
from checkout_session.api.servicer import CRITICALITY


def test_every_rpc_with_a_criticality_exists() -> None:
    """A misspelt one would be refused as late as what is paid."""
    (service,) = checkout_session_pb2.DESCRIPTOR.services_by_name.values()

    assert CRITICALITY.keys() - service.methods_by_name.keys() == set()
