"""Mirror of refunds and disputes at Stripe."""
