"""The running system for end-to-end tests, with its clients, stores, proxies and faults."""
