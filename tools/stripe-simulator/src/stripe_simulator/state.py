"""Everything that one run of the simulator knows, until a reset begins the next."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.api import Api
from stripe_simulator.faults import Faults
from stripe_simulator.idempotency import IdempotencyKeys
from stripe_simulator.request_log import RequestLog
from stripe_simulator.webhooks.sender import WebhookSender


@dataclass(frozen=True, slots=True)
class State:
    """The parts that the API and the knobs share."""

    account: Account
    webhooks: WebhookSender
    idempotency: IdempotencyKeys
    faults: Faults
    requests: RequestLog
    api: Api

    def counters(self) -> dict[str, Any]:
        """Answer how much there is of everything."""
        intents = self.account["payment_intents"]
        charges = self.account["charges"]
        return {
            "objects": {name: len(collection) for name, collection in self.account.collections.items()},
            "payment_intents": dict(Counter(intent["status"] for intent in intents)),
            "charges": dict(Counter(charge["status"] for charge in charges)),
            "amount_received": dict(_sums(intents)),
            "deliveries": self.webhooks.log.counts(),
            "requests": self.requests.total,
            "idempotency_keys": len(self.idempotency),
            "settlements_due": len(self.account.scheduler),
            "clock": {"now": self.account.clock.now(), "added_seconds": self.account.clock.added_seconds},
        }


def _sums(intents: Any) -> Counter[str]:
    """Add up what was received, by currency and in minor units."""
    sums: Counter[str] = Counter()
    for intent in intents:
        sums[intent["currency"]] += intent["amount_received"]
    return sums
