"""Routes of the signed-in user's own orders."""

from typing import Annotated

from fastapi import APIRouter, Path

from payments_gateway.api.callers import SIGNED_IN, SignedInUser
from payments_gateway.api.fields import Uuid
from payments_gateway.api.order_bodies import OrderBody, OrderPageBody, order_page_to_body, order_to_body
from payments_gateway.api.paging import Cursor, Limit, invalid_cursor_named
from payments_gateway.api.problems import describe_problems
from payments_gateway.domain.purchases import OrderNotFound, OrdersPort


def order_routes(orders: OrdersPort) -> APIRouter:
    """Return the routes of orders."""
    routes = APIRouter(prefix="/api/orders", tags=["orders"], responses=describe_problems(401, 404, 503))

    @routes.get("", summary="List one's own orders", openapi_extra=SIGNED_IN)
    async def list_orders(user_id: SignedInUser, limit: Limit = 20, cursor: Cursor = None) -> OrderPageBody:
        """Return a page of the user's orders, newest first."""
        with invalid_cursor_named():
            page = await orders.list_orders(user_id, page_size=limit, page_token=cursor)
        return order_page_to_body(page)

    @routes.get("/{order_id}", summary="Read one's own order", openapi_extra=SIGNED_IN)
    async def read_order(order_id: Annotated[Uuid, Path()], user_id: SignedInUser) -> OrderBody:
        """Return an order with contact and address. Another user's order is not found."""
        order = await orders.get_order(order_id)
        if order.user_id != user_id:
            raise OrderNotFound
        return order_to_body(order)

    return routes
