// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";

vi.mock("../src/OrderConfirmation", () => {
  throw new Error("its code did not load");
});

test("the client secret leaves the address although the page's code does not load", async () => {
  vi.stubGlobal("fetch", () => new Promise(() => {}));
  history.replaceState(
    null,
    "",
    "/order-confirmation?checkout=a1&payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_x",
  );

  await import("../src/main");

  expect(location.search).toBe("?checkout=a1&payment_intent=pi_1");
});
