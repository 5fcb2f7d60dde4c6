"""The audit: Stripe's succeeded intents against the decisions in orders, both ways."""
