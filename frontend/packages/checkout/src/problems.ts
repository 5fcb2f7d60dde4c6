/** Failures of requests: the gateway's problem types, and what happens before the gateway is reached. */

import type { ProblemBody } from "./api.js";
import type { FieldError, Purchase } from "./types.js";

const TYPE_PREFIX = "urn:holdfast:problem:";

/** Every problem type of the gateway. A test compares them with the gateway's document. */
export const GATEWAY_PROBLEM_TYPES = [
  "already_paid",
  "attempt_closed",
  "bad_event",
  "bad_signature",
  "body_too_large",
  "cart_not_for_sale",
  "checkout_not_found",
  "checkout_too_large",
  "customer_deleted",
  "http_error",
  "idempotency_key_reused",
  "intent_mismatch",
  "intent_not_found",
  "internal",
  "invalid_request",
  "malformed_json",
  "method_not_allowed",
  "no_such_route",
  "order_not_found",
  "overloaded",
  "payment_not_succeeded",
  "payment_processing",
  "portal_not_configured",
  "rate_limited",
  "refused_by_stripe",
  "subscription_ended",
  "subscription_not_found",
  "subscription_refused",
  "temporarily_unavailable",
  "thin_payload",
  "unauthenticated",
  "unsupported_media_type",
] as const;

/** `network`: no answer of the gateway. `unknown`: a type that is newer than this package. */
export type ProblemType = (typeof GATEWAY_PROBLEM_TYPES)[number] | "network" | "unknown";

export interface ProblemDetails {
  type: ProblemType;
  /** HTTP status; 0 if there was no answer. */
  status: number;
  errors?: FieldError[];
  purchase?: Purchase;
  checkoutAttemptId?: string;
  requestId?: string;
  retryAfterSeconds?: number;
}

/** Failure of a request. It has neither the request's content nor a client secret, so it may be logged. */
export class CheckoutProblem extends Error {
  override readonly name = "CheckoutProblem";
  readonly type: ProblemType;
  readonly status: number;
  /** Invalid fields, with type `invalid_request`; lines that are not sold, with `cart_not_for_sale`. */
  readonly errors: readonly FieldError[];
  /** With type `already_paid`, where it is known. */
  readonly purchase: Purchase | undefined;
  /** With type `payment_processing`: the checkout whose payment it is, if it is the buyer's. */
  readonly checkoutAttemptId: string | undefined;
  /** Names the request in the shop's logs. */
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(details: ProblemDetails) {
    super(details.requestId ? `${details.type} (request ${details.requestId})` : details.type);
    this.type = details.type;
    this.status = details.status;
    this.errors = details.errors ?? [];
    this.purchase = details.purchase;
    this.checkoutAttemptId = details.checkoutAttemptId;
    this.requestId = details.requestId;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

/** Return the type of a thrown value; what is no problem of the gateway is `unknown`. */
export function problemTypeOf(error: unknown): ProblemType {
  return error instanceof CheckoutProblem ? error.type : "unknown";
}

/** Return the checkout that a refusal names, because it is paid or its payment is processing. */
export function placedIdOf({ checkoutAttemptId, purchase }: CheckoutProblem): string | undefined {
  return checkoutAttemptId ?? purchase?.order?.checkoutAttemptId ?? purchase?.subscriptions[0]?.checkoutAttemptId;
}

/** Read a failed response. A proxy before the gateway may answer something else than a problem. */
export async function readProblem(response: Response): Promise<CheckoutProblem> {
  const body: Partial<ProblemBody> = (await response.json().catch(() => null)) ?? {};
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new CheckoutProblem({
    type: typeOf(response.status, body),
    status: response.status,
    ...(body.errors ? { errors: body.errors } : {}),
    ...(body.purchase ? { purchase: body.purchase } : {}),
    ...(body.checkoutAttemptId ? { checkoutAttemptId: body.checkoutAttemptId } : {}),
    ...(body.requestId ? { requestId: body.requestId } : {}),
    ...(seconds > 0 ? { retryAfterSeconds: Math.ceil(seconds) } : {}),
  });
}

function typeOf(status: number, body: Partial<ProblemBody>): ProblemType {
  const known = GATEWAY_PROBLEM_TYPES.find((type) => body.type === TYPE_PREFIX + type);
  if (known) return known;
  if (status === 429) return "rate_limited";
  return [502, 503, 504].includes(status) ? "temporarily_unavailable" : "unknown";
}
