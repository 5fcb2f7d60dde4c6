"""Webhooks: rules, signatures, deliveries and their log."""
