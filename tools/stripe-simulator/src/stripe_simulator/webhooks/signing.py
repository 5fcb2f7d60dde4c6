"""Stripe's webhook signature (https://docs.stripe.com/webhooks#verify-manually)."""

import hashlib
import hmac


def signature_header(body: bytes, secret: str, timestamp: int) -> str:
    """Return the `Stripe-Signature` header for a body sent at a time in seconds."""
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signature}"
