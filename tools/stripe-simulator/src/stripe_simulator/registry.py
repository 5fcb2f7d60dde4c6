"""Registry of the simulated resources. A new resource is added here."""

from stripe_simulator.endpoints import Resource
from stripe_simulator.resources import (
    billing_portal,
    charges,
    customers,
    disputes,
    events,
    invoices,
    payment_intents,
    payment_methods,
    prices,
    products,
    refunds,
    setup_intents,
    shipping_rates,
    subscriptions,
    webhook_endpoints,
)

RESOURCES: tuple[Resource, ...] = (
    billing_portal.CONFIGURATION_RESOURCE,
    billing_portal.SESSION_RESOURCE,
    charges.RESOURCE,
    customers.RESOURCE,
    disputes.RESOURCE,
    events.RESOURCE,
    invoices.RESOURCE,
    payment_intents.RESOURCE,
    payment_methods.RESOURCE,
    prices.RESOURCE,
    products.RESOURCE,
    refunds.RESOURCE,
    setup_intents.RESOURCE,
    shipping_rates.RESOURCE,
    subscriptions.RESOURCE,
    webhook_endpoints.RESOURCE,
)
