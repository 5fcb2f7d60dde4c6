"""What the frontend and Stripe talk to."""
