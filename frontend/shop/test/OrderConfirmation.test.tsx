// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";
import OrderConfirmation from "../src/OrderConfirmation";
import { render } from "./harness/render";

const COMPLETED = { status: "completed", purchase: { status: "completed", subscriptions: [] } };
const OTHERS = "open processing requires_action payment_failed expired superseded needs_review".split(" ");

function answerStatus(status: number, body: object): void {
  vi.stubGlobal("fetch", async (url: string) =>
    url.includes("/api/checkout/")
      ? Response.json(body, { status })
      : Response.json({
          publishableKey: "pk_test_1",
          stripeJsUrl: "https://js.stripe.com/",
          demoSignInUrl: "/sign-in",
        }),
  );
}

/** Return the labels of the links and buttons that lead on. */
async function waysForward(): Promise<string[]> {
  const page = await render(<OrderConfirmation />);
  return [...page.querySelectorAll("a, button")].map((each) => each.textContent ?? "");
}

beforeEach(() => {
  localStorage.clear();
  history.replaceState(null, "", "/order-confirmation?checkout=00000000-0000-8000-8000-000000000000");
});

test.each([COMPLETED, ...OTHERS.map((status) => ({ status }))])("a checkout that is $status leads on", async (body) => {
  answerStatus(200, body);

  expect(await waysForward()).not.toEqual([]);
});

test("a checkout that is not found leads a guest to sign in", async () => {
  answerStatus(404, { type: "urn:holdfast:problem:checkout_not_found" });

  expect(await waysForward()).toContain("Sign in as demo customer");
});

test("a checkout whose payment arrived is never led back to paying", async () => {
  for (const status of ["processing", "needs_review"]) {
    answerStatus(200, { status });

    expect((await waysForward()).join()).not.toMatch(/checkout|pay/i);
  }
});
