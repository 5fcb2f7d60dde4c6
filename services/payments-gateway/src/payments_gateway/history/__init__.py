"""The history of one checkout: what is known of it, in order, and what happens next."""
