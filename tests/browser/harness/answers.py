"""Answers of the gateway that a test of a page makes up, as the OpenAPI document has them."""

from typing import Any, Final

from playwright.async_api import Page, Route

ID: Final = "0b8f4e0e-6f5a-4a55-9a3e-6a2f0f1f7c1d"
_CREATED: Final = "2026-11-20T09:30:00Z"
_LATER: Final = "2026-12-20T09:30:00Z"
SUBSCRIPTION_STATUSES: Final = (
    "pending",
    "activation_failed",
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "paused",
    "canceled",
    "unknown",
)


async def answer(page: Page, path: str, body: dict[str, Any], *, status: int = 200) -> None:
    """Answer requests to a path of the shop, a glob, with this body."""
    kind = "application/json" if status < 400 else "application/problem+json"

    async def fulfill(route: Route) -> None:
        await route.fulfill(json=body, status=status, content_type=kind)

    await page.route(f"**/api/{path}", fulfill)


def problem(slug: str, status: int) -> dict[str, Any]:
    """Return a problem of the gateway."""
    return {"type": f"urn:holdfast:problem:{slug}", "title": slug, "status": status, "requestId": "made-up"}


def item(name: str, amount: int) -> dict[str, Any]:
    """Return a bought line."""
    return {"name": name, "priceId": "price_1", "productId": "prod_1", "quantity": 2, "unitAmount": amount}


def order(status: str = "paid", **more: Any) -> dict[str, Any]:
    """Return an order of a signed-in user."""
    return {
        "id": f"order-{status}",
        "number": "7K2-M9Q-XD4",
        "checkoutAttemptId": ID,
        "createdAt": _CREATED,
        "currency": "usd",
        "items": [item("Stoneware mug", 1800), item("Pocket notebook", 950)],
        "shippingOption": {"id": "shr_1", "name": "Standard", "amount": 500},
        "shippingAddress": {"line1": "1 Quay Street", "city": "Portland", "postalCode": "97201", "country": "US"},
        "contact": {"email": "ada@example.com", "name": "Ada Lovelace"},
        "status": status,
        "totalAmount": 6000,
        **more,
    }


def subscription(status: str = "active", **more: Any) -> dict[str, Any]:
    """Return a subscription."""
    return {
        "id": f"subscription-{status}",
        "checkoutAttemptId": ID,
        "amount": 2800,
        "currency": "usd",
        "interval": "month",
        "intervalCount": 1,
        "items": [item("Coffee, every month", 1400) | {"currency": "usd", "interval": "month", "intervalCount": 1}],
        "boughtItems": [item("Coffee, every month", 1400)],
        "discounts": [],
        "status": status,
        "cancelAtPeriodEnd": False,
        "endsWithPeriod": False,
        "createdAt": _CREATED,
        "currentPeriodEnd": _LATER,
        **more,
    }


def purchase(*subscriptions: dict[str, Any], with_order: bool = True) -> dict[str, Any]:
    """Return the status of a completed checkout."""
    bought = {
        "status": "completed",
        "order": order() if with_order else None,
        "subscriptions": list(subscriptions),
        "needsAttention": any(each["status"] == "activation_failed" for each in subscriptions),
        "customerPortalUrl": "https://billing.stripe.com/p/login/test_1" if subscriptions else None,
    }
    return {"status": "completed", "purchase": bought}
