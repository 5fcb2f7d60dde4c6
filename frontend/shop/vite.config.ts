import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { firstLoadLimit } from "./firstLoad.ts";

// `make frontend-dev` sets GATEWAY to the address of a running gateway.
const gateway = process.env.GATEWAY ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), firstLoadLimit()],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { host: "127.0.0.1", port: 5173, proxy: { "/api": gateway } },
});
