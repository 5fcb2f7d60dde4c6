"""The gateway's ports, implemented over the network: checkout-session, orders and Stripe."""
