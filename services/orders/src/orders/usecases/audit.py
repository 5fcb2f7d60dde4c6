"""Reading payment decisions for an audit."""

from orders.domain.audit import PaymentIds, PaymentRange, RecordedPayment
from orders.domain.pagination import Cursor, Page, paginate
from orders.usecases.unit_of_work import UnitOfWorkFactory


class AuditReader:
    """Reads payment decisions by the creation of their intents."""

    def __init__(self, begin: UnitOfWorkFactory) -> None:
        self._begin = begin

    async def list_payments(self, asked: PaymentRange) -> Page[RecordedPayment]:
        """Return a page of decisions, those whose intent was created last first."""
        async with self._begin() as unit:
            rows = await unit.audit.list_payments(asked, asked.page.size + 1)
        return paginate(rows, asked.page.size, lambda row: Cursor(row.intent_created_at, row.intent.id))

    async def find_payments(self, asked: PaymentIds) -> list[RecordedPayment]:
        """Return the decisions on intents and of attempts, without those that are not decided."""
        async with self._begin() as unit:
            return await unit.audit.find_payments(asked)
