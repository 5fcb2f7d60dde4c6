"""The calls that a gateway makes to the services and to Stripe."""

from enum import StrEnum
from typing import Final

_SESSION: Final = "/checkout.session.v1.CheckoutSessionService"
_ORDERS: Final = "/checkout.orders.v1.OrdersService"


class OutgoingCall(StrEnum):
    """gRPC method, or HTTP method and path with ids replaced, as the proxies record it."""

    GET_ATTEMPT = f"{_SESSION}/GetAttempt"
    SAVE_ATTEMPT = f"{_SESSION}/SaveAttempt"
    CLOSE_ATTEMPT = f"{_SESSION}/CloseAttempt"
    DELETE_ATTEMPT = f"{_SESSION}/DeleteAttempt"
    DELETE_ATTEMPTS = f"{_SESSION}/DeleteAttempts"
    GET_PURCHASE = f"{_ORDERS}/GetPurchase"
    RECORD_PURCHASE = f"{_ORDERS}/RecordPurchase"
    QUARANTINE_PAYMENT = f"{_ORDERS}/QuarantinePayment"
    LIST_ORDERS = f"{_ORDERS}/ListOrders"
    GET_ORDER = f"{_ORDERS}/GetOrder"
    GET_CUSTOMER = f"{_ORDERS}/GetCustomer"
    PUT_CUSTOMER = f"{_ORDERS}/PutCustomer"
    BEGIN_ACTIVATION = f"{_ORDERS}/BeginActivation"
    ACTIVATE_SUBSCRIPTION = f"{_ORDERS}/ActivateSubscription"
    FAIL_ACTIVATION = f"{_ORDERS}/FailActivation"
    CANCEL_PENDING = f"{_ORDERS}/CancelPendingSubscription"
    GET_SUBSCRIPTION = f"{_ORDERS}/GetSubscription"
    APPLY_STATE = f"{_ORDERS}/ApplySubscriptionState"
    GET_REFUND = f"{_ORDERS}/GetRefund"
    APPLY_REFUND = f"{_ORDERS}/ApplyRefund"
    GET_DISPUTE = f"{_ORDERS}/GetDispute"
    APPLY_DISPUTE = f"{_ORDERS}/ApplyDispute"
    LOG_EVENTS = "/checkout.orders.v1.StripeEventsService/LogEvents"
    RETRIEVE_PRICE = "GET /v1/prices/{id}"
    CREATE_INTENT = "POST /v1/payment_intents"
    RETRIEVE_INTENT = "GET /v1/payment_intents/{id}"
    CANCEL_INTENT = "POST /v1/payment_intents/{id}/cancel"
    CREATE_SETUP = "POST /v1/setup_intents"
    RETRIEVE_SETUP = "GET /v1/setup_intents/{id}"
    CANCEL_SETUP = "POST /v1/setup_intents/{id}/cancel"
    CREATE_CUSTOMER = "POST /v1/customers"
    UPDATE_CUSTOMER = "POST /v1/customers/{id}"
    CREATE_SUBSCRIPTION = "POST /v1/subscriptions"
    LIST_SUBSCRIPTIONS = "GET /v1/subscriptions"
    RETRIEVE_SUBSCRIPTION = "GET /v1/subscriptions/{id}"
    CHANGE_SUBSCRIPTION = "POST /v1/subscriptions/{id}"
    END_SUBSCRIPTION = "DELETE /v1/subscriptions/{id}"
    LIST_INVOICES = "GET /v1/invoices"
    OPEN_PORTAL = "POST /v1/billing_portal/sessions"
    LIST_REFUNDS = "GET /v1/refunds"
    RETRIEVE_REFUND = "GET /v1/refunds/{id}"
    RETRIEVE_DISPUTE = "GET /v1/disputes/{id}"

    @property
    def to_stripe(self) -> bool:
        """True for a request to Stripe, False for an rpc."""
        return not self.startswith("/")


BACKGROUND_CALLS: Final = frozenset(
    {"GET /v1/prices", "GET /v1/shipping_rates", OutgoingCall.LOG_EVENTS, OutgoingCall.DELETE_ATTEMPTS}
)
"""Calls that belong to no request: in the background the catalogue is refreshed, handled events are logged, and
attempts are deleted that webhooks have recorded."""
