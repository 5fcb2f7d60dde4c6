import json
import pytest
from .http_edge import *
from .samples import *

async def test_probe(http, gateway):
    """P."""
    def show(name, a): print(name, a.status, dict(a.headers).get("Content-Type"), a.text[:400])
    for email in ["ada lovelace@example.com", "ada@@example.com", "ada", "ada@exa mple.com", "a"*70+"@example.com", "ada@" + "x"*300 + ".com", "ada@localhost", "ada@example.test", "ada\"secret@example.com", "ada@[127.0.0.1]", "ada.@example.com", "ädä\u202e@example.com", "\u0000a@b.com", 5, "ada@ex_ample.com", "a@xn--secret.com", "Ada <ada@example.com>", "ada\ud800@example.com"]:
        show(repr(email)[:40], await post(http, INITIATE, checkout_json(contact={"email": email, "name": "A"})))
    for q in [0,-1,1.5,1.0,True,"2",10**9,10**30,None,float("nan"),[],{}]:
        show(repr(q), await post(http, INITIATE, checkout_json(items=[{"priceId":"price_mug","quantity":q}])))
    show("huge", await post_raw(http, INITIATE, b'{"items": 1' + b'0'*6000 + b'}'))
    show("nest", await post_raw(http, INITIATE, b'['*200000))
    show("nest2", await post_raw(http, INITIATE, b'{"contact":' + b'['*900 + b']'*900 + b'}'))
    show("latin", await post_raw(http, INITIATE, b'{"a":"\xff"}'))
    show("empty", await post_raw(http, INITIATE, b''))
    show("array", await post_raw(http, INITIATE, b'[]'))
    show("null", await post_raw(http, INITIATE, b'null'))
    show("string", await post_raw(http, INITIATE, b'"x"'))
    show("surr key", await post_raw(http, INITIATE, b'{"\\ud800": 1}'))
    show("surr key nested", await post(http, INITIATE, checkout_json(contact={"email":"ada@example.com","name":"A","\ud800":1})))
    show("surr val", await post(http, INITIATE, checkout_json(contact={"email":"ada@example.com","name":"\ud800"})))
    show("nul", await post(http, INITIATE, checkout_json(contact={"email":"ada@example.com","name":"a\0b"})))
    show("longkey", await post(http, INITIATE, checkout_json(**{"k"*1000: 1})))
    show("extra", await post(http, INITIATE, checkout_json(userId="u", unitAmount=3)))
    show("extra2", await post(http, INITIATE, checkout_json(items=[{"priceId":"price_mug","quantity":1,"unitAmount":3}])))
    show("snake", await post(http, INITIATE, checkout_json(items=[{"price_id":"price_mug","quantity":1}])))
    show("dup", await post_raw(http, INITIATE, b'{"items":[{"priceId":"price_mug","quantity":1,"quantity":2}],"contact":{"email":"a@example.com","name":"A"}}'))
    show("many", await post(http, INITIATE, checkout_json(items=[{"priceId":"price_mug","quantity":1}]*201)))
    show("allbad", await post(http, INITIATE, checkout_json(items=[{"priceId":"","quantity":"x"}]*200)))
    show("order id", await get(http, "/api/orders/xyz", Authorization=token_for("u")))
    show("order id", await get(http, "/api/checkout/XYZ"))
    show("cursor", await get(http, "/api/orders?cursor=zzz", Authorization=token_for("u")))
    show("limit", await get(http, "/api/orders?limit=0", Authorization=token_for("u")))
    show("slash", await get(http, "/api/catalog/"))
    show("head", await ask(http, "HEAD", "/api/catalog"))
    show("del", await ask(http, "DELETE", "/api/catalog"))
    show("catalog", await get(http, "/api/catalog"))
    show("config", await get(http, "/api/config"))
    show("readyz", await get(http, "/readyz"))
    show("key", await post(http, INITIATE, checkout_json(), Idempotency_Key="abc"))
    show("ship", await post(http, INITIATE, checkout_json(shippingOptionId="shr_post")))
    show("country", await post(http, INITIATE, checkout_json(shippingAddress=address_json(country="gb"))))
    show("both", await post(http, "/api/orders", {"checkoutAttemptId": ATTEMPT_ID, "paymentIntentId":"pi_1","setupIntentId":"seti_1"}))
    show("neither", await post(http, "/api/orders", {"checkoutAttemptId": ATTEMPT_ID}))
    show("authhdr", await get(http, "/api/orders", Authorization="Bearer \xe9"))
    show("ok", await post(http, INITIATE, checkout_json(), X_Request_Id="abc-1", Origin=SHOP_ORIGIN))
    show("metrics", await get(http, "/metrics"))
