"""Customer portal (https://docs.stripe.com/api/customer_portal): sessions, and the configuration that they need.

An account has no default configuration until somebody saves the portal's settings in the Dashboard. Here the control
API does. Only that one configuration is modelled.
"""

from typing import Final
from urllib.parse import urlsplit

import stripe.params.billing_portal as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject, equal_to
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters

SESSIONS: Final = "billing_portal_sessions"
CONFIGURATIONS: Final = "billing_portal_configurations"
_SESSION_KIND: Final = "billing_portal.session"
_CONFIGURATION_KIND: Final = "billing_portal.configuration"
_SETTINGS_PAGE: Final = "https://dashboard.stripe.com/test/settings/billing/portal"


def save_settings(account: Account) -> StripeObject:
    """Make the default configuration, as saving the portal's settings in the Dashboard does."""
    for configuration in account[CONFIGURATIONS]:
        return configuration
    configuration = account[CONFIGURATIONS].add(_default_configuration(account))
    account.publish("billing_portal.configuration.created", configuration)
    return configuration


def session_of(account: Account, token: str) -> StripeObject:
    """Return the session of a portal's URL. Raises KeyError."""
    return account[SESSIONS].get(account.secrets[f"portal:{token}"])


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = account["customers"].get(params["customer"], param="customer", status=400)
    configuration = _configuration(account, params.get("configuration"))
    session_id, token = account.ids.new("bps"), account.ids.webhook_secret().removeprefix("whsec_")
    account.secrets[f"portal:{token}"] = session_id
    session: StripeObject = {
        "id": session_id,
        "object": _SESSION_KIND,
        "after_expiration": None,
        "configuration": configuration["id"],
        "created": account.clock.timestamp(),
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "livemode": account.livemode,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": _checked_url(params.get("return_url")),
        "url": f"{call.simulator_url}/_simulator/portal/{token}",
    }
    account[SESSIONS].add(session)
    account.publish("billing_portal.session.created", session)
    return session


def _configuration(account: Account, given: str | None) -> StripeObject:
    if given is not None:
        return account[CONFIGURATIONS].get(given, param="configuration", status=400)
    for configuration in account[CONFIGURATIONS]:
        return configuration
    raise _no_configuration()


def _no_configuration() -> ApiError:
    """Build the 400 of an account whose portal was never set up. Stripe gives it no code."""
    return invalid(
        "No configuration provided and your test mode default configuration has not been created. Provide a "
        "configuration or create your default by saving your customer portal settings in test mode at "
        f"{_SETTINGS_PAGE}."
    )


def _checked_url(url: str | None) -> str | None:
    parts = urlsplit(url or "")
    if url is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise invalid("Not a valid URL", param="return_url", code="url_invalid")
    return url


def _default_configuration(account: Account) -> StripeObject:
    now = account.clock.timestamp()
    return {
        "id": account.ids.new("bpc"),
        "object": _CONFIGURATION_KIND,
        "active": True,
        "application": None,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        "created": now,
        "default_return_url": None,
        "features": {
            "customer_update": {"allowed_updates": [], "enabled": False},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True, "payment_method_configuration": None},
            "subscription_cancel": {
                "cancellation_reason": {"enabled": False, "feedback_options": None, "options": []},
                "enabled": True,
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
            "subscription_update": {
                "billing_cycle_anchor": None,
                "default_allowed_updates": [],
                "enabled": False,
                "products": None,
                "proration_behavior": "none",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "end_trial",
            },
        },
        "is_default": True,
        "livemode": account.livemode,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "name": None,
        "updated": now,
    }


def _retrieve_configuration(call: Call) -> StripeObject:
    return call.account[CONFIGURATIONS].get(call.id)


def _list_configurations(call: Call) -> StripeObject:
    return call.account[CONFIGURATIONS].page(call.url, call.params, equal_to(call.params, "active", "is_default"))


_CREATE: Final = ("configuration", "customer", "locale", "return_url")
_LIST: Final = ("active", "is_default", "limit", "starting_after", "ending_before")
_SESSIONS_PATH: Final = "/v1/billing_portal/sessions"
_CONFIGURATIONS_PATH: Final = "/v1/billing_portal/configurations"

SESSION_RESOURCE: Final = Resource(
    collection=SESSIONS,
    kind=_SESSION_KIND,
    expandable={"configuration": CONFIGURATIONS},
    endpoints=(Endpoint("POST", _SESSIONS_PATH, _create, Parameters(shapes.SessionCreateParams, _CREATE)),),
)
CONFIGURATION_RESOURCE: Final = Resource(
    collection=CONFIGURATIONS,
    kind=_CONFIGURATION_KIND,
    endpoints=(
        Endpoint("GET", _CONFIGURATIONS_PATH, _list_configurations, Parameters(shapes.ConfigurationListParams, _LIST)),
        Endpoint(
            "GET",
            f"{_CONFIGURATIONS_PATH}/{{id}}",
            _retrieve_configuration,
            Parameters(shapes.ConfigurationRetrieveParams, ()),
        ),
    ),
)
