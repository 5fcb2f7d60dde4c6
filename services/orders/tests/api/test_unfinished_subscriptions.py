"""Subscriptions that the reconciler finishes."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import cart, recurring_line
from ..calls import activate, begun, cancel, fail
from ..service import Client


def soon() -> Timestamp:
    """Return a time after every row."""
    message = Timestamp()
    message.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
    return message


async def list_unfinished(orders: Client, page_size: int = 0) -> list[list[str]]:
    """List all unfinished subscriptions, page by page."""
    pages, token, before = [], None, soon()
    while token != "":
        page = await orders.ListUnfinishedSubscriptions(
            pb.ListUnfinishedSubscriptionsRequest(created_before=before, page_size=page_size, page_token=token or "")
        )
        pages.append(list(page.subscription_ids))
        token = page.next_page_token
    return pages


async def test_pending_subscriptions_are_listed_oldest_first(orders: Client) -> None:
    """Begun or not, page by page."""
    (recorded,) = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions
    ids = [recorded.id, *[(await begun(orders)).id for _ in range(2)]]

    pages = await list_unfinished(orders, page_size=2)

    assert pages == [ids[:2], ids[2:]]


async def test_one_that_was_cancelled_during_its_activation_is_listed(orders: Client) -> None:
    """It may exist at Stripe. One that nobody had begun does not."""
    (recorded,) = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions
    await cancel(orders, recorded)
    cancelled = await cancel(orders, await begun(orders))

    assert await list_unfinished(orders) == [[cancelled.id]]


async def test_bound_and_failed_ones_are_not_listed(orders: Client) -> None:
    """Nothing is left to do, or a person decides."""
    await activate(orders, await begun(orders))
    await fail(orders, await begun(orders))

    assert await list_unfinished(orders) == [[]]


async def test_one_that_was_just_recorded_is_not_listed(orders: Client) -> None:
    """Its recorder is at work."""
    before = Timestamp()
    before.GetCurrentTime()
    await begun(orders)

    page = await orders.ListUnfinishedSubscriptions(pb.ListUnfinishedSubscriptionsRequest(created_before=before))

    assert list(page.subscription_ids) == []
