"""The settings of each process, by the name that it has in the manifests and in Compose."""

from typing import Final

from checkout_session.settings import CheckoutSessionSettings
from orders.settings import OrdersSettings
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.settings import ServiceSettings

SETTINGS: Final[dict[str, type[ServiceSettings]]] = {
    "checkout-session": CheckoutSessionSettings,
    "orders": OrdersSettings,
    "orders-migrate": OrdersSettings,
    "payments-gateway": GatewaySettings,
    "reconciler": ReconcilerSettings,
}
KEYS: Final = "k1:" + "A" * 42 + "8="
"""A valid value of their encryption keys."""
