"""Log, backfill and retries of Stripe's events (ADR 40)."""
