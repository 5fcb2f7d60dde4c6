"""Products (https://docs.stripe.com/api/products)."""

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, Params, merge_metadata

COLLECTION = "products"
KIND = "product"
_MAX_IMAGES = 8
_FIELDS = ("active", "description", "images", "marketing_features", "name", "shippable", "unit_label", "url")


def new_product(account: Account, params: Params) -> StripeObject:
    """Store a new product."""
    now = account.clock.timestamp()
    product: StripeObject = {
        "id": params.get("id") or account.ids.new("prod"),
        "object": KIND,
        "active": True,
        "created": now,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": now,
        "url": None,
    }
    product |= _changes(product, params)
    account[COLLECTION].add(product)
    account.publish("product.created", product)
    return product


def _changes(product: StripeObject, params: Params) -> Params:
    changes: Params = {name: _unset(params[name]) for name in _FIELDS if name in params}
    images = changes.get("images")
    if images is None and "images" in changes:
        changes["images"] = []
    elif images and len(images) > _MAX_IMAGES:
        raise invalid(f"You cannot have more than {_MAX_IMAGES} images.", param="images")
    if "metadata" in params:
        changes["metadata"] = merge_metadata(product["metadata"], params["metadata"])
    return changes


def _unset(value: object) -> object:
    return None if value == "" else value


def _create(call: Call) -> StripeObject:
    return new_product(call.account, call.params)


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    product = _retrieve(call)
    changes = _changes(product, call.params)
    if call.params.get("default_price"):
        price = call.account["prices"].get(call.params["default_price"], param="default_price", status=400)
        if price["product"] != product["id"]:
            raise invalid("The price specified is not a price of this product.", param="default_price")
        changes["default_price"] = price["id"]
    changed = any(product[name] != value for name, value in changes.items())
    touched = {"updated": call.account.clock.timestamp()} if changed else {}
    return call.account.change(COLLECTION, product, "product.updated", **changes, **touched)


def _delete(call: Call) -> StripeObject:
    product = _retrieve(call)
    if any(price["product"] == product["id"] for price in call.account["prices"]):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    call.account[COLLECTION].remove(call.id)
    call.account.publish("product.deleted", product)
    return {"id": call.id, "object": KIND, "deleted": True}


def _list(call: Call) -> StripeObject:
    ids = call.params.get("ids")
    wanted = every(
        created_within(call.params),
        equal_to(call.params, "active", "shippable", "url"),
        lambda product: ids is None or product["id"] in ids,
    )
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_CREATE = Parameters(shapes.ProductCreateParams, (*_FIELDS, "id", "metadata"))
_UPDATE = Parameters(shapes.ProductUpdateParams, (*_FIELDS, "metadata", "default_price"))
_LIST = Parameters(
    shapes.ProductListParams,
    ("active", "created", "ids", "shippable", "url", "limit", "starting_after", "ending_before"),
)

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"default_price": "prices"},
    endpoints=(
        Endpoint("POST", "/v1/products", _create, _CREATE),
        Endpoint("GET", "/v1/products", _list, _LIST),
        Endpoint("GET", "/v1/products/{id}", _retrieve, Parameters(shapes.ProductRetrieveParams, ())),
        Endpoint("POST", "/v1/products/{id}", _update, _UPDATE),
        Endpoint("DELETE", "/v1/products/{id}", _delete, Parameters(shapes.ProductDeleteParams, ())),
    ),
)
