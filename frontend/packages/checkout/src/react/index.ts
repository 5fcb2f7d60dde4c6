export type * from "./types.js";
export { useCheckout } from "./useCheckout.js";
export { useOrderConfirmation } from "./useOrderConfirmation.js";
