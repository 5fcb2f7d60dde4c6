"""Fulfilment of succeeded intents."""
