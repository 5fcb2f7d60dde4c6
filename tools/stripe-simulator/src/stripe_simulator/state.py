"""State of one simulator, replaced as a whole by a reset."""

from dataclasses import dataclass

from stripe_simulator.account import Account
from stripe_simulator.api import Api
from stripe_simulator.api_keys import ApiKeys
from stripe_simulator.faults import Faults
from stripe_simulator.rate_limits import RateLimiter
from stripe_simulator.request_log import RequestLog
from stripe_simulator.webhooks.sender import WebhookSender


@dataclass(frozen=True, slots=True)
class State:
    """The parts that the API and the control API share."""

    account: Account
    webhooks: WebhookSender
    faults: Faults
    keys: ApiKeys
    rate_limiter: RateLimiter
    requests: RequestLog
    api: Api
