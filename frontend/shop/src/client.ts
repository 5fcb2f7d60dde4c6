import { createClient } from "@holdfast/checkout";
import { fetchInSession, token } from "./session";

export const client = createClient({ token, fetch: fetchInSession });
