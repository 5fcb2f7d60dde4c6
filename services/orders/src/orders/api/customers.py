"""Requests about Stripe customers."""

from dataclasses import dataclass

from checkout.orders.v1 import orders_pb2
from orders.api.field_reader import FieldReader
from orders.domain.customers import CustomerOwner


@dataclass(frozen=True, slots=True)
class CustomerAssignment:
    """Stripe customer to assign. `replaced` is a customer that no longer exists at Stripe, if any."""

    owner: CustomerOwner
    stripe_customer_id: str
    replaced: str | None


def customer_owner_from_proto(request: orders_pb2.GetCustomerRequest) -> CustomerOwner:
    """Read the owner of a customer."""
    with FieldReader() as fields:
        return _owner_from_proto(fields, request)


def customer_assignment_from_proto(request: orders_pb2.PutCustomerRequest) -> CustomerAssignment:
    """Read a customer to assign."""
    with FieldReader() as fields:
        return CustomerAssignment(
            owner=_owner_from_proto(fields, request),
            stripe_customer_id=fields.id("stripe_customer_id", request.stripe_customer_id),
            replaced=fields.optional_id("replaces", request.replaces),
        )


def _owner_from_proto(
    fields: FieldReader, request: orders_pb2.GetCustomerRequest | orders_pb2.PutCustomerRequest
) -> CustomerOwner:
    return CustomerOwner(fields.id("user_id", request.user_id), fields.currency("currency", request.currency))
