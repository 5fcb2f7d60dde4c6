"""What callers are answered, from the domain's terms into protobuf."""

from google.protobuf.message import DecodeError

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from orders.checkout import LineItem, ShippingOption, UnreadableCause
from orders.common_responses import (
    write_address,
    write_contact,
    write_intent,
    write_moment,
    write_moment_if_any,
    write_money,
)
from orders.decisions import Decision, Purchase, QuarantinedPayment, QuarantineReason
from orders.order import Order, OrderStatus
from orders.payments import Payment, Road, Source
from orders.subscription_responses import write_subscription

_ROADS = {
    Road.WEBHOOK: orders_pb2.ROAD_WEBHOOK,
    Road.BROWSER_RETURN: orders_pb2.ROAD_BROWSER_RETURN,
    Road.RECONCILER: orders_pb2.ROAD_RECONCILER,
}
_REASONS = {
    QuarantineReason.ATTEMPT_MISSING: orders_pb2.QUARANTINE_REASON_ATTEMPT_MISSING,
    QuarantineReason.AMOUNT_MISMATCH: orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH,
    QuarantineReason.INTENT_MISMATCH: orders_pb2.QUARANTINE_REASON_INTENT_MISMATCH,
    QuarantineReason.DUPLICATE_PAYMENT: orders_pb2.QUARANTINE_REASON_DUPLICATE_PAYMENT,
    QuarantineReason.UNRECORDABLE: orders_pb2.QUARANTINE_REASON_UNRECORDABLE,
}
_CAUSES = {
    UnreadableCause.UNKNOWN_KEY: orders_pb2.UnreadableContent.CAUSE_UNKNOWN_KEY,
    UnreadableCause.NOT_AUTHENTIC: orders_pb2.UnreadableContent.CAUSE_NOT_AUTHENTIC,
}
_STATUSES = {OrderStatus.PAID: orders_pb2.ORDER_STATUS_PAID}


def write_decision(decision: Decision) -> orders_pb2.PaymentDecision:
    """Write what a succeeded intent became."""
    if isinstance(decision, Purchase):
        return orders_pb2.PaymentDecision(purchase=write_purchase(decision))
    return orders_pb2.PaymentDecision(quarantined_payment=write_quarantined(decision))


def write_purchase(purchase: Purchase) -> orders_pb2.Purchase:
    """Write what an attempt became."""
    return orders_pb2.Purchase(
        attempt_id=purchase.attempt_id,
        intent=write_intent(purchase.intent),
        order=write_order(purchase.order) if purchase.order else None,
        subscriptions=map(write_subscription, purchase.subscriptions),
    )


def write_quarantined(quarantined: QuarantinedPayment) -> orders_pb2.QuarantinedPayment:
    """Write a payment set aside, with the attempt's content as it came."""
    context, unreadable = _write_content(quarantined)
    return orders_pb2.QuarantinedPayment(
        payment=_write_payment(quarantined.payment),
        reason=_REASONS[quarantined.reason],
        context=context,
        source=_write_source(quarantined.source),
        quarantined_at=write_moment(quarantined.quarantined_at),
        erased_at=write_moment_if_any(quarantined.erased_at),
        unreadable_content=unreadable,
    )


def write_order(order: Order) -> orders_pb2.Order:
    """Write one order."""
    return orders_pb2.Order(
        id=str(order.id),
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        payment_intent_id=order.payment_intent_id,
        user_id=order.user_id or "",
        status=_STATUSES[order.status],
        total=write_money(order.total),
        contact=write_contact(order.contact) if order.contact else None,
        shipping_address=write_address(order.shipping_address) if order.shipping_address else None,
        shipping_option=_write_shipping_option(order.shipping_option) if order.shipping_option else None,
        items=map(_write_item, order.items),
        created_at=write_moment(order.created_at),
        refunded=write_money(order.refunded) if order.refunded else None,
        disputed=write_money(order.disputed) if order.disputed else None,
        erased_at=write_moment_if_any(order.erased_at),
    )


def _write_content(
    quarantined: QuarantinedPayment,
) -> tuple[common_pb2.CheckoutContext | None, orders_pb2.UnreadableContent | None]:
    """Write the content or why it cannot be read. A payment is listed whatever became of its content."""
    if quarantined.unreadable:
        unreadable = quarantined.unreadable
        return None, orders_pb2.UnreadableContent(key_id=unreadable.key_id, cause=_CAUSES[unreadable.cause])
    if quarantined.content is None:
        return None, None
    try:
        return common_pb2.CheckoutContext.FromString(quarantined.content.serialized), None
    except DecodeError:  # what is in the clear, anybody with the database may have changed
        return None, orders_pb2.UnreadableContent(cause=orders_pb2.UnreadableContent.CAUSE_NOT_AUTHENTIC)


def _write_payment(payment: Payment) -> orders_pb2.Payment:
    return orders_pb2.Payment(
        intent=write_intent(payment.intent),
        attempt_id=payment.attempt_id,
        received=write_money(payment.received) if payment.received else None,
        livemode=payment.livemode,
        payment_method_id=payment.payment_method_id or "",
    )


def _write_source(source: Source) -> orders_pb2.Source:
    return orders_pb2.Source(road=_ROADS[source.road], stripe_event_id=source.stripe_event_id or "")


def _write_shipping_option(option: ShippingOption) -> common_pb2.ShippingOption:
    return common_pb2.ShippingOption(
        shipping_rate_id=option.shipping_rate_id, name=option.name, amount=write_money(option.amount)
    )


def _write_item(item: LineItem) -> orders_pb2.OrderItem:
    return orders_pb2.OrderItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=write_money(item.unit_price),
    )
