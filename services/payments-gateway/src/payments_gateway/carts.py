"""Carts and what they come to: prices come from the catalogue, never from the client (P6)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from payments_gateway.attempts import LineItem, ShippingOption
from payments_gateway.catalogue import Catalogue, Price
from payments_gateway.money import Money, total, why_not_chargeable
from servicekit.violations import FieldViolation, refuse


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


def price_cart(cart: Cart, catalogue: Catalogue) -> PricedCart:
    """Price a cart; equal lines become one. Raises InvalidRequest naming each line that cannot be sold."""
    refuse(_unsellable_lines(cart.lines, catalogue))
    items = _priced_lines(cart.lines, catalogue)
    currency = items[0].unit_price.currency
    refuse(_lines_in_another_currency(cart.lines, catalogue, currency))
    shipping_option = _shipping_option(cart.shipping_option_id, catalogue, currency)
    sums = [item.unit_price.times(item.quantity) for item in items]
    if shipping_option is not None:
        sums.append(shipping_option.amount)
    amount = total(sums, currency)
    if objection := why_not_chargeable(amount):
        refuse([FieldViolation("items", objection)])
    return PricedCart(items, shipping_option, amount)


def _unsellable_lines(lines: Sequence[CartLine], catalogue: Catalogue) -> Iterable[FieldViolation]:
    for position, line in enumerate(lines):
        price = catalogue.prices.get(line.price_id)
        objection = "is not for sale: unknown or inactive" if price is None else price.not_sold_because
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
    )


def _unit_price(price: Price) -> Money:
    if price.unit_price is None:  # such a price is never sold, see not_sold_because
        raise ValueError(f"{price.id} has no unit price")
    return price.unit_price


def _shipping_option(rate_id: str | None, catalogue: Catalogue, currency: str) -> ShippingOption | None:
    if rate_id is None:
        return None
    rate = catalogue.shipping_rates.get(rate_id)
    if rate is None:
        refuse([FieldViolation("shippingOptionId", "is not offered: unknown or inactive")])
    elif rate.amount.currency != currency:
        refuse([FieldViolation("shippingOptionId", f"is in another currency than the cart, {currency}")])
    else:
        return ShippingOption(rate.id, rate.name, rate.amount)
    return None
