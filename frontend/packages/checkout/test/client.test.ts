import { expect, test } from "vitest";
import { createClient } from "../src/index.js";

test("sends the key as a header and the old checkout in the body", async () => {
  const sent: Request[] = [];
  const answer = { clientSecret: "pi_1_secret_2", checkoutAttemptId: "new" };
  const client = createClient({
    baseUrl: "http://gateway.example",
    fetch: async (input, init) => {
      sent.push(new Request(input, init));
      return Response.json(answer);
    },
  });

  const contact = { email: "ada@example.com", name: "Ada" };
  await client.supersede("old", { items: [{ priceId: "price_1", quantity: 1 }], contact }, { idempotencyKey: "key" });

  expect(sent[0]?.headers.get("Idempotency-Key")).toBe("key");
  expect(await sent[0]?.json()).toMatchObject({ supersedes: "old" });
});
