"""Billing: subscriptions, their invoices and the payments of these, as time passes.

See https://docs.stripe.com/billing/subscriptions/overview. From the bottom up: `objects`, `discounts`, `prorations`,
`invoices`, `endings`, `payments`, `finalization`, `renewals`, `lifecycle` and `updates`. No function awaits. What
happens later runs on the account's scheduler: advancing the clock by a year runs twelve renewals in order.
"""
