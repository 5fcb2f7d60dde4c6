"""Discounts, which only expansion shows (https://docs.stripe.com/api/discounts)."""

from stripe_simulator.billing.discounts import COUPONS, DISCOUNTS
from stripe_simulator.endpoints import Resource

RESOURCE = Resource(
    collection=DISCOUNTS,
    kind="discount",
    expandable={"customer": "customers", "source": {"coupon": COUPONS}},
    endpoints=(),
)
