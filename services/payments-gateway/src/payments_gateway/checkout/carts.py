"""Carts and what they come to: prices come from the catalogue, never from the client (P6)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from checkout_rules.limits import MAX_BILLING_INTERVALS, MAX_SUBSCRIPTION_ITEMS
from payments_gateway.domain.attempts import Interval, LineItem, Recurring, ShippingOption
from payments_gateway.domain.catalogue import Catalogue, Price
from payments_gateway.domain.money import Money, charge_violation, total
from servicekit.violations import FieldViolation, raise_if_invalid


@dataclass(frozen=True)
class CartLine:
    """What the client asks for: a price and how many."""

    price_id: str
    quantity: int


@dataclass(frozen=True)
class Cart:
    """A cart as the client sent it."""

    lines: tuple[CartLine, ...]
    shipping_option_id: str | None


@dataclass(frozen=True)
class PricedCart:
    """What a cart holds and comes to."""

    items: tuple[LineItem, ...]
    shipping_option: ShippingOption | None
    total: Money
    """What is taken now, of the one-time lines and the shipping; 0 when nothing is but subscriptions begin."""

    @property
    def has_subscriptions(self) -> bool:
        """Whether anything in it is charged again and again."""
        return any(item.recurring for item in self.items)


@dataclass(frozen=True)
class RecurringSum:
    """What all lines of one billing interval come to, each time they are charged: one Stripe subscription."""

    recurring: Recurring
    amount: Money


def recurring_sums(items: Iterable[LineItem]) -> tuple[RecurringSum, ...]:
    """Return what is charged again and again, by billing interval in the order of the cart."""
    sums: dict[Recurring, list[Money]] = {}
    for item in items:
        if item.recurring is not None:
            sums.setdefault(item.recurring, []).append(_sum_of(item))
    return tuple(RecurringSum(recurring, total(parts, parts[0].currency)) for recurring, parts in sums.items())


def amount_due_today(taken_now: Money, items: Iterable[LineItem]) -> Money:
    """Return what the buyer pays today: what the intent takes, and the first charges that no trial puts off."""
    first_charges = (each.amount for each in recurring_sums(items) if not each.recurring.trial_days)
    return total([taken_now, *first_charges], taken_now.currency)


def price_cart(cart: Cart, catalogue: Catalogue) -> PricedCart:
    """Price a cart; equal lines become one. Raises InvalidRequest naming each line that cannot be sold."""
    raise_if_invalid(_unsellable_lines(cart.lines, catalogue))
    items = _priced_lines(cart.lines, catalogue)
    currency = items[0].unit_price.currency
    raise_if_invalid(_lines_in_another_currency(cart.lines, catalogue, currency))
    raise_if_invalid(_lines_of_another_trial(cart.lines, catalogue))
    raise_if_invalid(_lines_beyond_an_interval(cart.lines, catalogue))
    raise_if_invalid(_intervals_beyond_a_cart(cart.lines, catalogue))
    raise_if_invalid(_sums_not_charged_again(items))
    shipping_option = _shipping_option(cart.shipping_option_id, catalogue, currency)
    return PricedCart(items, shipping_option, _taken_now(items, shipping_option, currency))


def _taken_now(items: Sequence[LineItem], shipping: ShippingOption | None, currency: str) -> Money:
    goods = total((_sum_of(item) for item in items if item.recurring is None), currency)
    shipped = shipping.amount if shipping else Money(0, currency)
    if goods.minor_units == 0 and any(item.recurring for item in items):
        if shipped.minor_units:
            raise_if_invalid(
                [FieldViolation("shippingOptionId", "must be free in a cart that has nothing to be paid now")]
            )
        return goods
    amount = total([goods, shipped], currency)
    if objection := charge_violation(amount):
        raise_if_invalid([FieldViolation("items", objection)])
    return amount


def _unsellable_lines(lines: Sequence[CartLine], catalogue: Catalogue) -> Iterable[FieldViolation]:
    for position, line in enumerate(lines):
        price = catalogue.prices.get(line.price_id)
        objection = "is not for sale: unknown or inactive" if price is None else price.unsellable_reason
        if objection:
            yield FieldViolation(f"items[{position}].priceId", objection)


def _lines_in_another_currency(
    lines: Sequence[CartLine], catalogue: Catalogue, currency: str
) -> Iterable[FieldViolation]:
    for position, line in enumerate(lines):
        if _unit_price(catalogue.prices[line.price_id]).currency != currency:
            yield FieldViolation(
                f"items[{position}].priceId", f"is in another currency than the cart's first line, {currency}"
            )


def _lines_of_another_trial(lines: Sequence[CartLine], catalogue: Catalogue) -> Iterable[FieldViolation]:
    trials: dict[tuple[Interval, int], int] = {}
    for position, line in enumerate(lines):
        recurring = catalogue.prices[line.price_id].recurring
        if recurring is not None and trials.setdefault(_interval(recurring), recurring.trial_days) != (
            recurring.trial_days
        ):
            yield FieldViolation(
                f"items[{position}].priceId", "has another trial than the first line of its billing interval"
            )


def _lines_beyond_an_interval(lines: Sequence[CartLine], catalogue: Catalogue) -> Iterable[FieldViolation]:
    price_ids: dict[tuple[Interval, int], set[str]] = {}
    for position, line in enumerate(lines):
        recurring = catalogue.prices[line.price_id].recurring
        if recurring is None:
            continue
        standing = price_ids.setdefault(_interval(recurring), set())
        if line.price_id not in standing and len(standing) == MAX_SUBSCRIPTION_ITEMS:
            yield FieldViolation(
                f"items[{position}].priceId",
                f"is one too many: a billing interval has at most {MAX_SUBSCRIPTION_ITEMS} lines",
            )
        else:
            standing.add(line.price_id)


def _intervals_beyond_a_cart(lines: Sequence[CartLine], catalogue: Catalogue) -> Iterable[FieldViolation]:
    begun: set[tuple[Interval, int]] = set()
    for position, line in enumerate(lines):
        recurring = catalogue.prices[line.price_id].recurring
        if recurring is None or _interval(recurring) in begun:
            continue
        if len(begun) == MAX_BILLING_INTERVALS:
            yield FieldViolation(
                f"items[{position}].priceId",
                f"has one billing interval too many: a cart has at most {MAX_BILLING_INTERVALS}",
            )
        else:
            begun.add(_interval(recurring))


def _interval(recurring: Recurring) -> tuple[Interval, int]:
    return recurring.interval, recurring.interval_count


def _sums_not_charged_again(items: Sequence[LineItem]) -> Iterable[FieldViolation]:
    for charged in recurring_sums(items):
        # Nothing at all is no charge; what is below the least one Stripe would carry over, not take when we said.
        if charged.amount.minor_units and (objection := charge_violation(charged.amount)):
            yield FieldViolation("items", f"{objection} in each billing interval")


def _priced_lines(lines: Sequence[CartLine], catalogue: Catalogue) -> tuple[LineItem, ...]:
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


def _sum_of(item: LineItem) -> Money:
    return item.unit_price.times(item.quantity)


def _unit_price(price: Price) -> Money:
    if price.unit_price is None:  # such a price is never sold, see unsellable_reason
        raise ValueError(f"{price.id} has no unit price")
    return price.unit_price


def _shipping_option(rate_id: str | None, catalogue: Catalogue, currency: str) -> ShippingOption | None:
    if rate_id is None:
        return None
    rate = catalogue.shipping_rates.get(rate_id)
    if rate is None:
        raise_if_invalid([FieldViolation("shippingOptionId", "is not offered: unknown or inactive")])
    elif rate.amount.currency != currency:
        raise_if_invalid([FieldViolation("shippingOptionId", f"is in another currency than the cart, {currency}")])
    else:
        return ShippingOption(rate.id, rate.name, rate.amount)
    return None
