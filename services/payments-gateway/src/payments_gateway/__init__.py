"""HTTP service that the frontend and Stripe's webhooks call."""
