"""Headers that tell a browser what the storefront's pages may load, call and reveal.

Source for Stripe.js and Link: https://docs.stripe.com/security/guide#content-security-policy
"""

from typing import Final
from urllib.parse import urlsplit

STRIPE_JS: Final = "https://js.stripe.com"
_STRIPE_SCRIPTS: Final = f"{STRIPE_JS} https://*.js.stripe.com"
_LINK: Final = "https://link.com https://*.link.com"
"""Stripe's wallet, which the Payment Element and the Express Checkout Element offer."""


def storefront_headers(stripe_js_url: str) -> dict[str, str]:
    """Return the headers of every page and file. Another origin than Stripe's gets what Stripe's would."""
    origin = _origin(stripe_js_url)
    if origin == STRIPE_JS:
        scripts, frames = _STRIPE_SCRIPTS, f"{_STRIPE_SCRIPTS} https://hooks.stripe.com {_LINK}"
        calls, images = f"https://api.stripe.com {_LINK}", "https:"
        payment = f'"{STRIPE_JS}" "https://*.js.stripe.com"'
    else:
        scripts = frames = calls = origin
        images, payment = f"https: {origin}", f'"{origin}"'
    return {
        "Content-Security-Policy": _policy(scripts=scripts, frames=frames, calls=calls, images=images),
        "Permissions-Policy": f"payment=(self {payment}), camera=(), geolocation=(), microphone=()",
        # The address of the confirmation names the checkout. An origin alone is what Stripe's iframes may need.
        "Referrer-Policy": "strict-origin",
        # Also of a 304 and of HEAD, which the compression leaves alone (RFC 9110, 15.4.5).
        "Vary": "Accept-Encoding",
    }


def _policy(*, scripts: str, frames: str, calls: str, images: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {scripts}",
            "style-src 'self'",
            f"img-src 'self' data: {images}",  # a product's image is at any address that the shop gave to Stripe
            "font-src 'self'",
            f"connect-src 'self' {calls}",
            f"frame-src {frames}",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
