"""Owner of purchases: payment decisions, orders, subscriptions, refunds and disputes."""
