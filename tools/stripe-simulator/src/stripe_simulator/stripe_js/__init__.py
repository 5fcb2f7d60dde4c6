"""Stand-in for Stripe.js: one classic script, which the simulator serves at `/stripe.js`.

The files share the scope of one function, in this order, so that a page gets `window.Stripe` and nothing else.
"""

from functools import cache
from importlib.resources import files
from typing import Final

_FILES: Final = (
    "errors.js",
    "api.js",
    "dom.js",
    "appearance.js",
    "styles.js",
    "dialog.js",
    "cards.js",
    "fields.js",
    "methods.js",
    "element.js",
    "payment_element.js",
    "express_checkout_element.js",
    "elements.js",
    "confirm.js",
    "stripe.js",
)


@cache
def stripe_js() -> str:
    """Return the script."""
    folder = files(__package__)
    return "(() => {\n" + "\n".join(folder.joinpath(name).read_text("utf-8") for name in _FILES) + "})();\n"
