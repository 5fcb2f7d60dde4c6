import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`packages/checkout/src/${path}`, import.meta.url));

// The shop's tests run on the package's sources, so that nothing has to be built before.
export default defineConfig({
  resolve: {
    alias: {
      "@holdfast/checkout/react": source("react/index.ts"),
      "@holdfast/checkout": source("index.ts"),
    },
  },
});
