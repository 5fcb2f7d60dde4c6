"""Sweeps that finish what webhooks and buyers left undone; any number of processes may run them at once."""
