"""Reads a cart's recurring lines, and finds what Stripe could not make a subscription of."""

from collections import Counter
from typing import Final

from checkout.common.v1 import common_pb2
from orders.checkout import BillingInterval, CheckoutContext, Recurring
from orders.field_checks import FieldChecks

MOST_LINES_OF_INTERVAL: Final = 20
"""Stripe's limit for the items of a subscription."""
LONGEST_TRIAL_DAYS: Final = 730
"""Stripe's limit for trial_period_days."""

_INTERVALS: Final = {
    common_pb2.Recurring.INTERVAL_DAY: BillingInterval.DAY,
    common_pb2.Recurring.INTERVAL_WEEK: BillingInterval.WEEK,
    common_pb2.Recurring.INTERVAL_MONTH: BillingInterval.MONTH,
    common_pb2.Recurring.INTERVAL_YEAR: BillingInterval.YEAR,
}
_MOST_INTERVALS: Final = {
    BillingInterval.DAY: 1095,
    BillingInterval.WEEK: 156,
    BillingInterval.MONTH: 36,
    BillingInterval.YEAR: 3,
}
"""Stripe bills at least once in three years."""


def read_recurring(checks: FieldChecks, path: str, recurring: common_pb2.Recurring) -> Recurring:
    """Read how often a line charges."""
    known = _INTERVALS.get(recurring.interval)
    checks.objects_to(f"{path}.interval", "must be day, week, month or year", unless=known is not None)
    interval = known or BillingInterval.YEAR
    most = _MOST_INTERVALS[interval]
    in_bounds = known is None or 1 <= recurring.interval_count <= most
    checks.objects_to(f"{path}.interval_count", "must be 1 to what makes three years", unless=in_bounds)
    in_bounds = 0 <= recurring.trial_days <= LONGEST_TRIAL_DAYS
    checks.objects_to(f"{path}.trial_days", f"must be 0 to {LONGEST_TRIAL_DAYS}", unless=in_bounds)
    return Recurring(interval, recurring.interval_count, recurring.trial_days)


def check_recurring(checks: FieldChecks, context: CheckoutContext) -> None:
    """Check what the lines of one billing interval must have in common: together they are one subscription."""
    trials: dict[tuple[BillingInterval, int], int] = {}
    lines: Counter[tuple[BillingInterval, int]] = Counter()
    for index, item in enumerate(context.items):
        if item.recurring is None:
            continue
        path, period = f"context.items[{index}]", item.recurring.period
        lines[period] += 1
        same = item.recurring.trial_days == trials.setdefault(period, item.recurring.trial_days)
        checks.objects_to(f"{path}.recurring.trial_days", "must be that of its billing interval", unless=same)
        fits = lines[period] <= MOST_LINES_OF_INTERVAL
        checks.objects_to(path, f"must be one of {MOST_LINES_OF_INTERVAL} in its billing interval", unless=fits)
    named = context.stripe_customer_id is not None or not lines
    checks.objects_to("context.stripe_customer_id", "is required with recurring lines", unless=named)
