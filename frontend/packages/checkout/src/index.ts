export { type CheckoutClient, type ClientOptions, createClient } from "./client.js";
export type * from "./types.js";
