// @vitest-environment node
import { describe, expect, test } from "vitest";
import api from "../src/api.ts?raw";
import { CheckoutProblem, type MessageKind, messageFor } from "../src/index.js";
import { TEMPLATES } from "../src/message-texts.js";
import { GATEWAY_PROBLEM_TYPES } from "../src/problems.js";

const kinds = Object.keys(TEMPLATES) as MessageKind[];
const problemOf = (type: CheckoutProblem["type"], more: object = {}) =>
  new CheckoutProblem({ type, status: 400, ...more });

test("the problem types are those of the gateway's document", () => {
  const types = [...api.matchAll(/"urn:holdfast:problem:(\w+)"/g)].map((found) => found[1]);

  expect([...new Set(types)].sort()).toEqual([...GATEWAY_PROBLEM_TYPES]);
});

describe("each message", () => {
  const SAYS = {
    not_charged: /not been charged/,
    charged: /charged|paid/,
    pending: /pending|payment is safe|may be charged/,
  };

  test.each(kinds)("%s says what became of the money, and what to do", (kind) => {
    const { title, text, money, action } = messageFor(kind);

    expect(text).toMatch(SAYS[money]);
    expect(text.split(/[.:] /).length).toBeGreaterThanOrEqual(3);
    expect(title).not.toMatch(/\.$/);
    if (money !== "not_charged") expect(text).toMatch(/not (pay|buy|charged|again)|nothing left/i);
    expect(action).toBeTruthy();
  });
});

test.each(["not_yours", "checkout_not_found", "no_id"] as const)("%s denies no charge", (kind) => {
  const { text, money } = messageFor(kind);

  expect(money).toBe("pending");
  expect(text).not.toMatch(/not been charged/);
});

describe("of a problem", () => {
  test.each(GATEWAY_PROBLEM_TYPES)("%s is that of its type", (type) => {
    expect(messageFor(problemOf(type)).kind).toBe(type);
  });

  test.each([...GATEWAY_PROBLEM_TYPES, "network" as const])("%s can be told without denying a charge", (type) => {
    const { text, money } = messageFor(problemOf(type), { isSilent: true });

    expect(money).not.toBe("not_charged");
    expect(text).not.toMatch(/not been charged|^\s|\s\s|\s$/);
  });

  test.each(GATEWAY_PROBLEM_TYPES)("%s promises nothing about a payment that may have been made", (type) => {
    const { kind, money } = messageFor(problemOf(type), { mayHavePaid: true });
    const isAnswer = ["attempt_closed", "payment_not_succeeded"].includes(kind);

    expect(isAnswer || money !== "not_charged").toBe(true);
  });

  test("names an item that is gone, the fields and the wait", () => {
    const errors = [{ field: "items[1].priceId", message: "is not for sale" }];

    expect(messageFor(problemOf("cart_not_for_sale", { errors }))).toMatchObject({ kind: "item_gone", fields: errors });
    expect(messageFor(problemOf("rate_limited", { retryAfterSeconds: 7 }))).toMatchObject({ retryAfterSeconds: 7 });
    expect(messageFor(problemOf("network")).kind).toBe("offline");
    expect(messageFor(problemOf("network"), { mayHavePaid: true }).kind).toBe("status_offline");
    expect(messageFor(problemOf("unauthenticated"), { mayHavePaid: true }).action).toBe("sign_in");
    expect(messageFor(new Error("of the shop")).kind).toBe("unknown");
  });
});

test.each([
  ["card_error", "card_declined", "generic_decline", "card_declined"],
  ["card_error", "card_declined", "lost_card", "card_declined"],
  ["card_error", "card_declined", "insufficient_funds", "insufficient_funds"],
  ["card_error", "card_declined", "call_issuer", "bank_must_approve"],
  ["card_error", "card_declined", "card_velocity_exceeded", "card_limit_reached"],
  ["card_error", "card_declined", "card_not_supported", "card_not_supported"],
  ["card_error", "expired_card", undefined, "expired_card"],
  ["card_error", "incorrect_cvc", undefined, "incorrect_details"],
  ["card_error", "processing_error", undefined, "processing_error"],
  ["card_error", "payment_intent_authentication_failure", undefined, "authentication_failed"],
  ["invalid_request_error", "payment_intent_authentication_failure", undefined, "authentication_failed"],
  ["invalid_request_error", "payment_intent_unexpected_state", undefined, "outcome_unknown"],
  ["api_connection_error", undefined, undefined, "outcome_unknown"],
  ["validation_error", "incomplete_number", undefined, "incomplete_details"],
])("an error of Stripe: %s %s %s is %s", (type, code, decline_code, kind) => {
  expect(messageFor({ type, code, decline_code }).kind).toBe(kind);
});

test("the shop's own texts replace title and text alone", () => {
  const texts = ({ kind }: { kind: string }) => ({ title: `T ${kind}`, text: "Eigener Text" });

  const own = messageFor("card_declined", { texts });

  expect(own).toEqual({ ...messageFor("card_declined"), title: "T card_declined", text: "Eigener Text" });
});
