export { confirmationUrl, stripSecrets } from "./address.js";
export { CheckoutFlow, type CheckoutFlowOptions, type CheckoutSnapshot, type CheckoutState } from "./checkout-flow.js";
export { type CheckoutClient, type ClientOptions, createClient } from "./client.js";
export {
  ConfirmationFlow,
  type ConfirmationFlowOptions,
  type ConfirmationSnapshot,
  type ConfirmationState,
} from "./confirmation-flow.js";
export { addressOf, contactOf, type ElementAddress, type ElementDetails } from "./elements.js";
export type { MessageKind } from "./message-texts.js";
export { type MessageContext, type MessageTexts, messageFor } from "./messages.js";
export { CheckoutProblem, type ProblemType } from "./problems.js";
export type { StripeError, StripeIntent, StripeLike, StripeResult } from "./stripe.js";
export type * from "./types.js";
