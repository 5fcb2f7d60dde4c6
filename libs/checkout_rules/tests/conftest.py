"""A valid context that each test changes."""

import pytest

from checkout.common.v1 import common_pb2


@pytest.fixture
def context() -> common_pb2.CheckoutContext:
    """Return the context of a cart with one line, shipped."""
    return common_pb2.CheckoutContext(
        user_id="user_1",
        contact=common_pb2.Contact(name="Ada Buyer", email="ada@example.com", phone="+4930123456"),
        shipping_address=common_pb2.Address(line1="1 Long Street", city="Berlin", postal_code="10115", country="DE"),
        shipping_option=common_pb2.ShippingOption(
            shipping_rate_id="shr_1", name="Parcel", amount=common_pb2.Money(minor_units=490, currency="eur")
        ),
        items=[
            common_pb2.LineItem(
                price_id="price_mug",
                product_id="prod_mug",
                name="Mug",
                quantity=3,
                unit_price=common_pb2.Money(minor_units=1250, currency="eur"),
            )
        ],
        total=common_pb2.Money(minor_units=3 * 1250 + 490, currency="eur"),
    )
