"""Webhooks: which deliveries are made, how they are signed, and what happened to each."""
