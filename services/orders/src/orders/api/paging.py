"""Page requests: a user, a page size and a cursor."""

from dataclasses import dataclass

from checkout.orders.v1 import orders_pb2
from checkout_rules.limits import MAX_ID_CHARACTERS
from orders.api.field_reader import FieldChecks, uuid_of
from orders.domain.pagination import BadPageToken, Cursor, PageRequest, read_page_token

_LARGEST_PAGE = 100


_USER_PAGE = 20


_FOREIGN_PAGE = "is not one of this list"


@dataclass(frozen=True, slots=True)
class UserPage:
    """Whose orders or subscriptions, and which page of them."""

    user_id: str
    page: PageRequest


def read_user_page(
    request: orders_pb2.ListOrdersRequest | orders_pb2.ListSubscriptionsRequest, list_name: str
) -> UserPage:
    """Read whose rows, and which page of them."""
    checks = FieldChecks()
    user_id = checks.text("user_id", request.user_id, MAX_ID_CHARACTERS)
    size = read_page_size(checks, request.page_size, _USER_PAGE)
    before = read_cursor(checks, list_name, request.page_token)
    checks.objects_to("page_token", _FOREIGN_PAGE, unless=before is None or uuid_of(before.id) is not None)
    checks.refuse_if_any()
    return UserPage(user_id, PageRequest(size, before))


def read_page_size(checks: FieldChecks, size: int, default: int) -> int:
    """Return the page size asked for, or the default for 0."""
    checks.objects_to("page_size", f"must be 0 to {_LARGEST_PAGE}", unless=0 <= size <= _LARGEST_PAGE)
    return size or default


def read_cursor(checks: FieldChecks, list_name: str, token: str) -> Cursor | None:
    """Return the cursor in a page token; None for an empty one, or where the token is invalid."""
    try:
        return read_page_token(list_name, token)
    except BadPageToken:
        checks.objects_to("page_token", _FOREIGN_PAGE)
        return None
