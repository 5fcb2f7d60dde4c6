// @vitest-environment happy-dom
import { act, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { expect, test } from "vitest";
import { type UseCheckout, type UseOrderConfirmation, useCheckout, useOrderConfirmation } from "../src/react/index.js";
import { cart, checkout, FakeGateway, INITIATE, json, ORDERS, purchase, statusOf } from "./harness/gateway.js";
import { begunBefore, clientOf, freshBrowser, openPage, RETURN_URL, soon, stored, until } from "./harness/page.js";
import { FakeStripe } from "./harness/stripe.js";

freshBrowser();
Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

function Page({ useIt }: { useIt(): void }) {
  useIt();
  return null;
}

/** Render a hook in StrictMode, which runs each effect twice. */
function render<T extends { state: string }>(useIt: () => T) {
  let shown: T | undefined;
  const show = () => {
    shown = useIt();
  };
  const root = createRoot(document.createElement("div"));
  const draw = () =>
    act(async () =>
      root.render(
        <StrictMode>
          <Page useIt={show} />
        </StrictMode>,
      ),
    );
  const current = () => {
    if (!shown) throw new Error("not rendered");
    return shown;
  };
  return { draw, current, state: () => current().state, unmount: () => act(async () => root.unmount()) };
}

test("useCheckout begins, pays and calls back once, with the newest callback", async () => {
  const gateway = new FakeGateway().on(INITIATE, checkout("a1"));
  const client = clientOf(gateway);
  const placed: string[] = [];
  let name = "first";
  const page = render((): UseCheckout => {
    const callback = name;
    return useCheckout({ client, returnUrl: RETURN_URL, onPlaced: (id) => placed.push(`${callback} ${id}`) });
  });
  await page.draw();
  name = "second";
  await page.draw();

  await act(() => soon(page.current().begin(cart())));
  expect(page.current()).toMatchObject({ state: "payable", checkout: { checkoutAttemptId: "a1" }, message: null });
  await act(() => soon(page.current().pay(new FakeStripe(), {})));

  expect(page.state()).toBe("placed");
  expect(placed).toEqual(["second a1"]);
  expect(gateway.sent).toHaveLength(1);
  await page.unmount();
});

test("useCheckout resumes a stored checkout once", async () => {
  begunBefore("a1");
  const gateway = new FakeGateway().on(statusOf("a1"), json({ status: "completed" }));
  const client = clientOf(gateway);
  const page = render(() => useCheckout({ client, returnUrl: RETURN_URL, onPlaced: () => {} }));

  await page.draw();
  await act(() => until(page, "placed"));

  expect(page.current().message?.kind).toBe("already_paid");
  await page.unmount();
});

test("useOrderConfirmation completes and calls back once", async () => {
  begunBefore("a1");
  openPage("/order-confirmation?checkout=a1&payment_intent=pi_1&payment_intent_client_secret=s");
  const gateway = new FakeGateway().on(ORDERS, json(purchase("a1")));
  const client = clientOf(gateway);
  let placed = 0;
  const page = render((): UseOrderConfirmation => useOrderConfirmation({ client, onPlaced: () => placed++ }));

  await page.draw();
  await act(() => until(page, "completed"));

  expect(placed).toBe(1);
  expect(location.search).toBe("?checkout=a1");
  expect(stored()).toEqual({});
  await page.unmount();
});
