"""A stateful stand-in for Stripe's API, for demo, tests and load.

It proves how Holdfast handles Stripe, not how Stripe behaves.
"""

from stripe_simulator.settings import SimulatorSettings, WebhookSettings
from stripe_simulator.simulator import Simulator, start_simulator

__all__ = ["Simulator", "SimulatorSettings", "WebhookSettings", "start_simulator"]
