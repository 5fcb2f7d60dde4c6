"""The gateway's HTTP edge: translate in, call one use case, translate out."""
