"""One module per kind of Stripe object: its shape, its rules and its endpoints."""
