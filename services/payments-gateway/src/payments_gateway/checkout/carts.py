"""Prices carts. Prices come from the catalogue, never from the client (P6)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from checkout_rules.limits import MAX_BILLING_INTERVALS, MAX_SUBSCRIPTION_ITEMS
from payments_gateway.domain.attempts import Interval, LineItem, Recurring, ShippingOption
from payments_gateway.domain.catalogue import Catalogue, Price
from payments_gateway.domain.money import Money, charge_violation, total
from servicekit.violations import FieldViolation, InvalidRequest


class CartNotForSale(InvalidRequest):
    """The shop does not sell this cart now: a price is gone, or its lines do not go together. Its form is valid."""


@dataclass(frozen=True, slots=True)
class CartLine:
    """A price and a quantity that the client asks for."""

    price_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart as the client sent it."""

    lines: tuple[CartLine, ...]
    shipping_option_id: str | None


@dataclass(frozen=True, slots=True)
class PricedCart:
    """Priced lines and shipping of a cart, with the intent's amount."""

    items: tuple[LineItem, ...]
    shipping_option: ShippingOption | None
    total: Money
    """Sum of the one-time lines and the shipping; 0 if nothing but subscriptions is charged."""

    @property
    def has_subscriptions(self) -> bool:
        """True if a line is recurring."""
        return any(item.recurring for item in self.items)


@dataclass(frozen=True, slots=True)
class RecurringSum:
    """Sum of the lines of one billing interval, which become one Stripe subscription."""

    recurring: Recurring
    amount: Money


def recurring_sums(items: Iterable[LineItem]) -> tuple[RecurringSum, ...]:
    """Return the recurring charges by billing interval, in the order of the cart."""
    amounts: dict[Recurring, list[Money]] = {}
    for item in items:
        if item.recurring is not None:
            amounts.setdefault(item.recurring, []).append(item.amount)
    return tuple(RecurringSum(recurring, total(parts, parts[0].currency)) for recurring, parts in amounts.items())


def amount_due_today(intent_amount: Money, items: Iterable[LineItem]) -> Money:
    """Return the intent's amount plus the first charges that no trial defers."""
    first_charges = (each.amount for each in recurring_sums(items) if not each.recurring.trial_days)
    return total([intent_amount, *first_charges], intent_amount.currency)


def price_cart(cart: Cart, catalogue: Catalogue) -> PricedCart:
    """Price a cart; lines of the same price are merged. Raises CartNotForSale naming each line that cannot be sold."""
    _refuse_if(_unsellable_lines(cart.lines, catalogue))
    prices = [catalogue.prices[line.price_id] for line in cart.lines]
    items = _merged_items(cart.lines, catalogue)
    currency = items[0].unit_price.currency
    _refuse_if(_currency_violations(prices, currency))
    _refuse_if(_trial_violations(prices))
    _refuse_if(_interval_size_violations(prices))
    _refuse_if(_interval_count_violations(prices))
    _refuse_if(_recurring_sum_violations(items))
    shipping_option = _shipping_option(cart.shipping_option_id, catalogue, currency)
    return PricedCart(items, shipping_option, _intent_amount(items, shipping_option, currency))


def _intent_amount(items: Sequence[LineItem], shipping: ShippingOption | None, currency: str) -> Money:
    goods = total((item.amount for item in items if item.recurring is None), currency)
    shipping_amount = shipping.amount if shipping else Money(0, currency)
    if goods.minor_units == 0 and any(item.recurring for item in items):
        if shipping_amount.minor_units:
            raise _refused("shippingOptionId", "must be free in a cart that has nothing to be paid now")
        return goods
    amount = total([goods, shipping_amount], currency)
    if violation := charge_violation(amount):
        raise _refused("items", violation)
    return amount


def _unsellable_lines(lines: Sequence[CartLine], catalogue: Catalogue) -> Iterator[FieldViolation]:
    for position, line in enumerate(lines):
        price = catalogue.prices.get(line.price_id)
        reason = "is not for sale: unknown or inactive" if price is None else price.unsellable_reason
        if reason:
            yield _line_violation(position, reason)


def _currency_violations(prices: Sequence[Price], currency: str) -> Iterator[FieldViolation]:
    for position, price in enumerate(prices):
        if _unit_price(price).currency != currency:
            yield _line_violation(position, f"must be in the currency of the cart's first line, {currency}")


def _trial_violations(prices: Sequence[Price]) -> Iterator[FieldViolation]:
    trials: dict[tuple[Interval, int], int] = {}
    for position, recurring in _recurring_lines(prices):
        if trials.setdefault(recurring.period, recurring.trial_days) != recurring.trial_days:
            yield _line_violation(position, "must have the trial of the first line of its billing interval")


def _interval_size_violations(prices: Sequence[Price]) -> Iterator[FieldViolation]:
    """Check the limit of items of the Stripe subscription that a billing interval becomes."""
    price_ids: dict[tuple[Interval, int], set[str]] = {}
    for position, recurring in _recurring_lines(prices):
        known = price_ids.setdefault(recurring.period, set())
        if prices[position].id not in known and len(known) == MAX_SUBSCRIPTION_ITEMS:
            yield _line_violation(
                position, f"must be one of at most {MAX_SUBSCRIPTION_ITEMS} lines in its billing interval"
            )
        else:
            known.add(prices[position].id)


def _interval_count_violations(prices: Sequence[Price]) -> Iterator[FieldViolation]:
    known: set[tuple[Interval, int]] = set()
    for position, recurring in _recurring_lines(prices):
        if recurring.period not in known and len(known) == MAX_BILLING_INTERVALS:
            yield _line_violation(position, f"must have one of at most {MAX_BILLING_INTERVALS} billing intervals")
        else:
            known.add(recurring.period)


def _recurring_sum_violations(items: Sequence[LineItem]) -> Iterator[FieldViolation]:
    for charge in recurring_sums(items):
        # A sum of 0 is not charged. Stripe would carry one below its minimum over to a later invoice.
        if charge.amount.minor_units and (violation := charge_violation(charge.amount)):
            yield FieldViolation("items", f"{violation} in each billing interval")


def _recurring_lines(prices: Sequence[Price]) -> Iterator[tuple[int, Recurring]]:
    for position, price in enumerate(prices):
        if price.recurring is not None:
            yield position, price.recurring


def _line_violation(position: int, description: str) -> FieldViolation:
    return FieldViolation(f"items[{position}].priceId", description)


def _refuse_if(violations: Iterable[FieldViolation]) -> None:
    if found := tuple(violations):
        raise CartNotForSale(found)


def _refused(field: str, description: str) -> CartNotForSale:
    return CartNotForSale([FieldViolation(field, description)])


def _merged_items(lines: Sequence[CartLine], catalogue: Catalogue) -> tuple[LineItem, ...]:
    quantities: dict[str, int] = {}
    for line in lines:
        quantities[line.price_id] = quantities.get(line.price_id, 0) + line.quantity
    return tuple(_line_item(catalogue.prices[price_id], quantity) for price_id, quantity in quantities.items())


def _line_item(price: Price, quantity: int) -> LineItem:
    return LineItem(
        price_id=price.id,
        product_id=price.product_id,
        name=price.name,
        quantity=quantity,
        unit_price=_unit_price(price),
        recurring=price.recurring,
    )


def _unit_price(price: Price) -> Money:
    if price.unit_price is None:  # a price without one is never sold, see unsellable_reason
        raise ValueError(f"{price.id} has no unit price")
    return price.unit_price


def _shipping_option(rate_id: str | None, catalogue: Catalogue, currency: str) -> ShippingOption | None:
    if rate_id is None:
        return None
    rate = catalogue.shipping_rates.get(rate_id)
    if rate is None:
        raise _refused("shippingOptionId", "is not offered: unknown or inactive")
    if rate.amount.currency != currency:
        raise _refused("shippingOptionId", f"must be in the cart's currency, {currency}")
    return ShippingOption(rate.id, rate.name, rate.amount)
