"""Routes of the signed-in user's own orders."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from payments_gateway.api.bodies import OrderBody, OrderPageBody, Uuid
from payments_gateway.api.callers import SignedInUser
from payments_gateway.api.problems import ProblemBody
from payments_gateway.api.views import order_body
from payments_gateway.domain.purchases import OrderNotFound, OrdersPort
from servicekit.violations import FieldViolation, InvalidRequest

_MAX_CURSOR_CHARACTERS = 500


def order_routes(orders: OrdersPort) -> APIRouter:
    """Return the routes of orders."""
    routes = APIRouter(
        prefix="/api/orders",
        tags=["orders"],
        responses={401: {"model": ProblemBody}, 404: {"model": ProblemBody}, 503: {"model": ProblemBody}},
    )

    @routes.get("", summary="List one's own orders")
    async def list_orders(
        user_id: SignedInUser,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=_MAX_CURSOR_CHARACTERS)] = None,
    ) -> OrderPageBody:
        """Answer the user's orders, newest first."""
        try:
            page = await orders.list_orders(user_id, page_size=limit, page_token=cursor)
        except InvalidRequest:
            raise InvalidRequest([FieldViolation("cursor", "is not one that was given out")]) from None
        return OrderPageBody(orders=[order_body(order) for order in page.orders], next_cursor=page.next_page_token)

    @routes.get("/{order_id}", summary="Read one's own order")
    async def read_order(order_id: Annotated[Uuid, Path()], user_id: SignedInUser) -> OrderBody:
        """Answer one order, with contact and address. Somebody else's is not found."""
        order = await orders.get_order(order_id)
        if order.user_id != user_id:
            raise OrderNotFound
        return order_body(order)

    return routes
