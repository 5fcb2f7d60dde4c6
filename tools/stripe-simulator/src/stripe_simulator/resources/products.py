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
        "livemode": account.livemode,
        "marketing_features": [],
        "metadata": merge_metadata({}, params.get("metadata")),
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "tax_details": None,
        "type": "service",
        "unit_label": None,
        "updated": now,
        "url": None,
    } | {name: params[name] for name in _FIELDS if name in params}
    if len(product["images"]) > _MAX_IMAGES:
        raise invalid(f"You cannot have more than {_MAX_IMAGES} images.", param="images")
    account[COLLECTION].add(product)
    account.publish("product.created", product)
    return product


def _create(call: Call) -> StripeObject:
    return new_product(call.account, call.params)


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _list(call: Call) -> StripeObject:
    ids = call.params.get("ids")
    wanted = every(
        created_within(call.params),
        equal_to(call.params, "active", "shippable", "url"),
        lambda product: ids is None or product["id"] in ids,
    )
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_CREATE = Parameters(shapes.ProductCreateParams, (*_FIELDS, "id", "metadata"))
_LIST = Parameters(
    shapes.ProductListParams,
    ("active", "created", "ids", "shippable", "url", "limit", "starting_after", "ending_before"),
)

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    endpoints=(
        Endpoint("POST", "/v1/products", _create, _CREATE),
        Endpoint("GET", "/v1/products", _list, _LIST),
        Endpoint("GET", "/v1/products/{id}", _retrieve, Parameters(shapes.ProductRetrieveParams, ())),
    ),
)
