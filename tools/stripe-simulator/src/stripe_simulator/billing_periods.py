"""Billing periods as calendar intervals in UTC (https://docs.stripe.com/billing/subscriptions/billing-cycle)."""

import calendar
from datetime import UTC, datetime, timedelta

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


def period_end(anchor: int, interval: str, interval_count: int, after: int) -> int:
    """Return the first end of a period past `after`, counted in whole intervals from the anchor. All in seconds.

    In a month that lacks the anchor's day, the period ends on the last day.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    periods = 1
    while (end := _later(start, interval, interval_count * periods)) <= datetime.fromtimestamp(after, UTC):
        periods += 1
    return int(end.timestamp())


def _later(start: datetime, interval: str, count: int) -> datetime:
    if interval in _DAYS:
        return start + timedelta(days=_DAYS[interval] * count)
    months = start.month - 1 + _MONTHS[interval] * count
    year, month = start.year + months // 12, months % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
