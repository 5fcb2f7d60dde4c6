"""What stays different from Stripe's published types, each with its reason. The test fails when one is no longer so."""

from typing import Final

from stripe_simulator.published_types import Deviation, Problem

KNOWN: Final = {
    Deviation("invoice", "id", Problem.MISSING): (
        "The invoice of an invoice.upcoming has no id: https://docs.stripe.com/api/events/types says so, and so does "
        "the comment on that event in the types."
    ),
}

NEVER_REACHED: Final = {
    ("payment_intent", "requires_capture"): "Only automatic capture is modelled.",
    ("subscription", "unpaid"): "After the last retry the simulator cancels, which is one of the account's settings.",
    ("dispute", "prevented"): "Rapid dispute resolution is not modelled.",
    ("dispute", "appeal_needs_response"): "Appeals are not modelled.",
    ("dispute", "appeal_under_review"): "Appeals are not modelled.",
    ("setup_intent", "processing"): "A bank account is set up at once; only its debits take days.",
}
"""Published values of `status` that no object of the simulator has."""
