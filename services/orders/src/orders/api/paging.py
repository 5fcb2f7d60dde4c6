"""Page requests. The largest page of each list fits into a gRPC message, whatever its rows contain."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from checkout.orders.v1 import operator_pb2, orders_pb2
from checkout_rules.fields import uuid_violations
from orders.api.field_reader import FieldReader
from orders.domain.pagination import Cursor, InvalidPageToken, PageRequest, decode_page_token

ORDERS_LIST: Final = "orders"
SUBSCRIPTIONS_LIST: Final = "subscriptions"
QUARANTINE_LIST: Final = "quarantine"
UNFINISHED_LIST: Final = "unfinished"

MAX_ORDERS: Final = 20
MAX_SUBSCRIPTIONS: Final = 25
MAX_QUARANTINED_PAYMENTS: Final = 10
MAX_UNFINISHED: Final = 100
MAX_PAYMENT_STATES: Final = 100
_DEFAULT_SIZE: Final = 20


@dataclass(frozen=True, slots=True)
class UserPageRequest:
    """Page of a user's rows."""

    user_id: str
    page: PageRequest


@dataclass(frozen=True, slots=True)
class UnfinishedPageRequest:
    """Page of unfinished subscriptions."""

    created_before: datetime
    page: PageRequest


def orders_page_from_proto(request: orders_pb2.ListOrdersRequest) -> UserPageRequest:
    """Read a request for a page of a user's orders."""
    return _user_page(request, ORDERS_LIST, MAX_ORDERS)


def subscriptions_page_from_proto(request: orders_pb2.ListSubscriptionsRequest) -> UserPageRequest:
    """Read a request for a page of a user's subscriptions."""
    return _user_page(request, SUBSCRIPTIONS_LIST, MAX_SUBSCRIPTIONS)


def quarantine_page_from_proto(request: orders_pb2.ListQuarantinedPaymentsRequest) -> PageRequest:
    """Read a request for a page of quarantined payments."""
    with FieldReader() as fields:
        size = read_page_size(fields, request.page_size, MAX_QUARANTINED_PAYMENTS)
        after = read_cursor(fields, QUARANTINE_LIST, request.page_token)
    return PageRequest(size, after)


def unfinished_page_from_proto(request: orders_pb2.ListUnfinishedSubscriptionsRequest) -> UnfinishedPageRequest:
    """Read a request for a page of unfinished subscriptions."""
    with FieldReader() as fields:
        created_before = fields.timestamp(
            "created_before", request.created_before, present=request.HasField("created_before")
        )
        size = read_page_size(fields, request.page_size, MAX_UNFINISHED)
        after = _uuid_cursor(fields, UNFINISHED_LIST, request.page_token)
    return UnfinishedPageRequest(created_before, PageRequest(size, after))


def operator_page_from_proto(request: operator_pb2.ListQuarantineRequest) -> PageRequest:
    """Read a request for a page of quarantined payments without their content."""
    with FieldReader() as fields:
        size = read_page_size(fields, request.page_size, MAX_PAYMENT_STATES, default=MAX_PAYMENT_STATES)
        after = read_cursor(fields, QUARANTINE_LIST, request.page_token)
    return PageRequest(size, after)


def _user_page(
    request: orders_pb2.ListOrdersRequest | orders_pb2.ListSubscriptionsRequest, list_name: str, max_size: int
) -> UserPageRequest:
    with FieldReader() as fields:
        user_id = fields.id("user_id", request.user_id)
        size = read_page_size(fields, request.page_size, max_size)
        after = _uuid_cursor(fields, list_name, request.page_token)
    return UserPageRequest(user_id, PageRequest(size, after))


def read_page_size(fields: FieldReader, size: int, max_size: int, *, default: int = _DEFAULT_SIZE) -> int:
    """Read the number of rows of a page; 0 stands for the default."""
    fields.require(size >= 0, "page_size", "must not be negative")
    return min(size or default, max_size)


def _uuid_cursor(fields: FieldReader, list_name: str, token: str) -> Cursor | None:
    after = read_cursor(fields, list_name, token)
    if after is not None:
        fields.require(not uuid_violations("", after.id), "page_token", "must be one of this list")
    return after


def read_cursor(fields: FieldReader, list_name: str, token: str) -> Cursor | None:
    """Read the position after which a page starts; None for the first page."""
    try:
        return decode_page_token(list_name, token)
    except InvalidPageToken:
        fields.require(condition=False, field="page_token", message="must be one of this list")
        return None
