import { createClient } from "@holdfast/checkout";
import { token } from "./session";

export const client = createClient({ token });
