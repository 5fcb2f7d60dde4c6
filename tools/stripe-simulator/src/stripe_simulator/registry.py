"""Every kind of Stripe object that is simulated; this is where another one is added."""

from stripe_simulator.endpoints import Resource
from stripe_simulator.resources import (
    charges,
    customers,
    events,
    payment_intents,
    payment_methods,
    prices,
    products,
    shipping_rates,
    webhook_endpoints,
)

RESOURCES: tuple[Resource, ...] = (
    charges.RESOURCE,
    customers.RESOURCE,
    events.RESOURCE,
    payment_intents.RESOURCE,
    payment_methods.RESOURCE,
    prices.RESOURCE,
    products.RESOURCE,
    shipping_rates.RESOURCE,
    webhook_endpoints.RESOURCE,
)
