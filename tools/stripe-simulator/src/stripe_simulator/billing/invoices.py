"""Invoices: draft, finalized, then paid, void or uncollectible.

See https://docs.stripe.com/invoicing/integration/workflow-transitions.
"""

from typing import Any, Final

from stripe_simulator import payment_flow
from stripe_simulator.account import Account
from stripe_simulator.billing.objects import INVOICES, subscription_of, usable_method
from stripe_simulator.collection import StripeObject
from stripe_simulator.money import MINIMUM_AMOUNTS
from stripe_simulator.payment_flow import INTENTS
from stripe_simulator.resources import invoice_payments
from stripe_simulator.resources.new_payment_intent import new_intent

_FIRST: Final = "subscription_create"


def finalize(account: Account, invoice_id: str) -> StripeObject:
    """Open a draft for payment. One below the minimum amount is paid with nothing, and due with the next one.

    See https://docs.stripe.com/api/invoices/object#invoice_object-amount_due.
    """
    draft = account[INVOICES].get(invoice_id)
    customer = account["customers"].get(draft["customer"])
    balance = draft["total"] + customer["balance"]
    now = account.clock.timestamp()
    charged = balance >= MINIMUM_AMOUNTS.get(draft["currency"], 1)
    amount, left = (balance, 0) if charged else (0, balance)
    fields = {
        "status": "open",
        "amount_due": amount,
        "amount_remaining": amount,
        "automatically_finalizes_at": None,
        "effective_at": now,
        "ending_balance": left,
        "next_payment_attempt": None,
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "starting_balance": customer["balance"],
        "status_transitions": draft["status_transitions"] | {"finalized_at": now},
    }
    if charged:
        _add_intent(account, draft, amount)
    invoice = account.change(INVOICES, draft, "invoice.finalized", **fields)
    sequence = customer["next_invoice_sequence"] + 1
    customer = account.change("customers", customer, next_invoice_sequence=sequence)
    account.change("customers", customer, "customer.updated", balance=left)
    return invoice if charged else mark_paid(account, invoice)


def is_first(invoice: StripeObject) -> bool:
    """Return true for the invoice that a subscription begins with."""
    return bool(invoice["billing_reason"] == _FIRST)


def intent_of(account: Account, invoice_id: str) -> StripeObject:
    """Return the payment intent of a finalized invoice."""
    return account[INTENTS].get(account.secrets[f"intent_of:{invoice_id}"])


def is_processing(account: Account, invoice_id: str) -> bool:
    """Return true while a debit that pays the invoice is processing."""
    return f"intent_of:{invoice_id}" in account.secrets and intent_of(account, invoice_id)["status"] == "processing"


def invoice_of(account: Account, intent_id: str) -> StripeObject | None:
    """Return the invoice that an intent pays, or None."""
    invoice_id = account.secrets.get(f"invoice_of:{intent_id}")
    return account[INVOICES].get(invoice_id) if invoice_id else None


def attempt_count(invoice: StripeObject, *, automatic: bool) -> int:
    """Return an invoice's number of attempts after one more.

    "Any payment attempt counts as the first attempt, and subsequently only automatic retries increment the attempt
    count" (https://docs.stripe.com/api/invoices/object#invoice_object-attempt_count).
    """
    before: int = invoice["attempt_count"]
    return before + 1 if automatic else max(before, 1)


def mark_paid(account: Account, invoice: StripeObject, *, automatic: bool = False) -> StripeObject:
    """Record that an invoice is paid."""
    charged = invoice["amount_due"] > 0
    now = account.clock.timestamp()
    paid = _settle(
        account,
        invoice,
        ("invoice.paid", "invoice.payment_succeeded"),
        status="paid",
        attempted=True,
        attempt_count=attempt_count(invoice, automatic=automatic) if charged else 0,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        auto_advance=False,
        next_payment_attempt=None,
        status_transitions=invoice["status_transitions"] | {"paid_at": now},
    )
    invoice_payments.mark_paid(account, invoice["id"])
    _set_delinquent(account, invoice, delinquent=False)
    return paid


def mark_failed(
    account: Account, invoice: StripeObject, next_try: int | None, *more_events: str, automatic: bool
) -> StripeObject:
    """Record a failed attempt to pay. An automatic one makes the customer delinquent."""
    failed = _settle(
        account,
        invoice,
        ("invoice.payment_failed", *more_events),
        attempted=True,
        attempt_count=attempt_count(invoice, automatic=automatic),
        next_payment_attempt=next_try,
    )
    if automatic:
        _set_delinquent(account, invoice, delinquent=True)
    return failed


def void(account: Account, invoice: StripeObject) -> None:
    """Void an open invoice and cancel its payment intent. The customer's balance is as before the invoice.

    See https://docs.stripe.com/changelog/2019-12-03/customer-balances-returned-voided-invoices.
    """
    transitions = invoice["status_transitions"] | {"voided_at": account.clock.timestamp()}
    changes = {"auto_advance": False, "next_payment_attempt": None, "status_transitions": transitions}
    account.change(INVOICES, invoice, "invoice.voided", status="void", **changes)
    invoice_payments.mark_canceled(account, invoice["id"])
    _cancel_intent(account, invoice["id"])
    customer = account["customers"].find(invoice["customer"])
    if customer is not None:
        account.change(
            "customers", customer, "customer.updated", balance=customer["balance"] + invoice["starting_balance"]
        )


def mark_uncollectible(account: Account, invoice: StripeObject) -> None:
    """Give up on an open invoice. It can still be paid."""
    transitions = invoice["status_transitions"] | {"marked_uncollectible_at": account.clock.timestamp()}
    changes = {"auto_advance": False, "next_payment_attempt": None, "status_transitions": transitions}
    account.change(INVOICES, invoice, "invoice.marked_uncollectible", status="uncollectible", **changes)
    _set_delinquent(account, invoice, delinquent=False)


def _set_delinquent(account: Account, invoice: StripeObject, *, delinquent: bool) -> None:
    """Mark the customer as Stripe does (https://docs.stripe.com/api/customers/object#customer_object-delinquent)."""
    customer = account["customers"].find(invoice["customer"])
    if customer is not None:
        account.change("customers", customer, "customer.updated", delinquent=delinquent)


def _settle(account: Account, invoice: StripeObject, events: tuple[str, ...], **changes: Any) -> StripeObject:
    """Change an invoice and publish its events. `invoice.updated` is sent when a payment succeeds or fails.

    See https://docs.stripe.com/billing/subscriptions/webhooks#events.
    """
    changed = account.change(INVOICES, invoice, **changes)
    for event in events:
        account.publish(event, changed)
    account.publish_update("invoice.updated", invoice, changed)
    return changed


def _add_intent(account: Account, invoice: StripeObject, amount: int) -> None:
    """Store the payment intent of a finalized invoice. It carries none of the subscription's metadata."""
    subscription = subscription_of(account, invoice)
    saves = subscription["payment_settings"]["save_default_payment_method"] == "on_subscription"
    params: dict[str, Any] = {
        "amount": amount,
        "customer": invoice["customer"],
        "description": "Subscription creation" if is_first(invoice) else "Subscription update",
    }
    if is_first(invoice) or saves:
        params["setup_future_usage"] = "off_session"
    intent = new_intent(account, params, invoice["currency"])
    method = usable_method(account, subscription)
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    account[INTENTS].add(intent)
    account.secrets[f"invoice_of:{intent['id']}"] = invoice["id"]
    account.secrets[f"intent_of:{invoice['id']}"] = intent["id"]
    secret = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    account.includable[invoice["id"], "confirmation_secret"] = secret
    account.publish("payment_intent.created", intent)
    invoice_payments.add(account, invoice, intent)


def _cancel_intent(account: Account, invoice_id: str) -> None:
    if f"intent_of:{invoice_id}" not in account.secrets:
        return
    intent = intent_of(account, invoice_id)
    if intent["status"] in payment_flow.CONFIRMABLE:
        payment_flow.cancel(account, intent, "void_invoice")
