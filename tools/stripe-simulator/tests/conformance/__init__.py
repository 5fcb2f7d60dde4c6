"""The simulator and Stripe's published types."""
