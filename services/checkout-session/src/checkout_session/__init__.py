"""Owner of the checkout attempt."""
