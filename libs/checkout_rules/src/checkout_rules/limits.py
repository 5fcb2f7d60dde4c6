"""Limits of carts and fields. Imports nothing, so every layer may import it."""

from typing import Final

MAX_CART_LINES: Final = 200

MAX_ID_BYTES: Final = 255
"""Stripe's limit for the ids of its objects, and OpenID Connect's for user ids. Both are ASCII."""

MAX_NAME_CHARACTERS: Final = 250
"""Names of buyers, products and shipping options."""

MAX_ADDRESS_CHARACTERS: Final = 200
"""Each field of an address."""

MAX_TEXT_CHARACTERS: Final = 512
"""E-mail addresses and phone numbers."""

MAX_CONTEXT_BYTES: Final = 512 * 1024
"""Serialized checkout context that orders stores. The limits above keep every valid one below it. checkout-session
accepts less of a new attempt (CHECKOUT_SESSION_MAX_ATTEMPT_BYTES)."""

MAX_ATTEMPT_ID_CHARACTERS: Final = 500
"""Stripe's limit for a metadata value. A payment may name any text as its attempt."""

MAX_SUBSCRIPTION_ITEMS: Final = 20
"""Stripe's limit for the items of a subscription, which the lines of one billing interval become.
Source: https://docs.stripe.com/api/subscriptions/create#create_subscription-items"""

MAX_SUBSCRIPTION_DISCOUNTS: Final = 50
"""Discounts of a subscription and its items that are stored. Stripe allows 20 of the subscription, and 20 of each item.
Source: https://docs.stripe.com/api/subscriptions/create#create_subscription-discounts"""

MAX_BILLING_INTERVALS: Final = 5
"""Billing intervals of a cart. Each becomes a subscription that is created and first charged before the webhook is
answered. Day, week, month, quarter and year are done before Stripe gives up."""

MAX_INTERVAL_COUNTS: Final = {"day": 1095, "week": 156, "month": 36, "year": 3}
"""Longest billing interval by its unit: Stripe bills at least once in three years.
Source: https://docs.stripe.com/api/prices/create#create_price-recurring-interval_count"""

MAX_TRIAL_DAYS: Final = 730
"""Source: https://docs.stripe.com/api/subscriptions/create#create_subscription-trial_period_days"""
