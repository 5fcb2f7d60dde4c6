"""What may be forgotten: orders and quarantined payments of which only the bookkeeping remains."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CONTACT = "CHECK (erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL)"
_NOBODY_IN_ORDER = (
    "CHECK (erased_at IS NULL OR num_nonnulls(user_id, contact_name, contact_email, contact_phone, shipping_line1,"
    " shipping_line2, shipping_city, shipping_state, shipping_postal_code, shipping_country) = 0)"
)
_NOBODY_IN_PAYMENT = "CHECK (erased_at IS NULL OR num_nonnulls(user_id, attempt_content) = 0)"
_IDS_AND_SUMS = (
    "CHECK (payload - ARRAY['order_id', 'attempt_id', 'intent_id', 'reason', 'total_minor', 'amount_minor', 'currency']"
    " = '{}'::jsonb)"
)


def upgrade() -> None:
    """Let the columns that name somebody be empty, on an erased row and on no other."""
    op.execute("ALTER TABLE payments ADD COLUMN erased_at timestamptz")
    op.execute(f"ALTER TABLE payments ADD CONSTRAINT payments_erased_holds_nobody_check {_NOBODY_IN_PAYMENT}")
    op.execute("ALTER TABLE orders ADD COLUMN erased_at timestamptz")
    op.execute("ALTER TABLE orders ALTER COLUMN contact_name DROP NOT NULL, ALTER COLUMN contact_email DROP NOT NULL")
    op.execute(f"ALTER TABLE orders ADD CONSTRAINT orders_contact_unless_erased_check {_CONTACT}")
    op.execute(f"ALTER TABLE orders ADD CONSTRAINT orders_erased_holds_nobody_check {_NOBODY_IN_ORDER}")
    op.execute(f"ALTER TABLE outbox ADD CONSTRAINT outbox_ids_and_sums_only_check {_IDS_AND_SUMS}")


_REFUSE_LOSS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM orders WHERE erased_at IS NOT NULL)
       OR EXISTS (SELECT FROM payments WHERE erased_at IS NOT NULL) THEN
        RAISE EXCEPTION 'there are erased rows, which the schema before this one would take for any other'
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$
"""


def downgrade() -> None:
    """Take it back while nothing is erased: not known to be, it would be filled again, or shown as a guest's."""
    op.execute("LOCK TABLE orders, payments")
    op.execute(_REFUSE_LOSS)
    op.execute("ALTER TABLE outbox DROP CONSTRAINT outbox_ids_and_sums_only_check")
    op.execute("ALTER TABLE orders DROP CONSTRAINT orders_erased_holds_nobody_check")
    op.execute("ALTER TABLE orders DROP CONSTRAINT orders_contact_unless_erased_check")
    op.execute("ALTER TABLE orders ALTER COLUMN contact_name SET NOT NULL, ALTER COLUMN contact_email SET NOT NULL")
    op.execute("ALTER TABLE orders DROP COLUMN erased_at")
    op.execute("ALTER TABLE payments DROP CONSTRAINT payments_erased_holds_nobody_check")
    op.execute("ALTER TABLE payments DROP COLUMN erased_at")
