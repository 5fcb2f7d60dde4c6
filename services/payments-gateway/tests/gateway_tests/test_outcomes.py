from dataclasses import replace

import pytest

from payments_gateway.domain.errors import AlreadyPaid

from .rpc.test_orders import ORDER, PURCHASE


@pytest.mark.parametrize("erased", [False, True])
def test_p7_what_was_bought_is_told_until_it_is_erased(erased: bool) -> None:  # noqa: FBT001 — a parameter
    """Whoever begins a bought checkout again is told that it is paid; once who bought was erased, no more than that."""
    purchase = replace(PURCHASE, order=replace(ORDER, erased=erased))

    refusal = AlreadyPaid(purchase)

    assert refusal.purchase == (None if erased else purchase)
