"""One module per kind of Stripe object, with its fields, rules and endpoints."""
