/** Limit of what a first visit loads: Stripe.js and the pages that come later are not in it. */

import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const MAX_BYTES = 100 * 1024;

/** Report what index.html loads, gzipped, and fail the build if it is too much. */
export function firstLoadLimit(): Plugin {
  return {
    name: "first-load-limit",
    apply: "build",
    enforce: "post",
    writeBundle(_, bundle) {
      const contents = (name: string) => {
        const file = bundle[name];
        return file?.type === "chunk" ? file.code : (file?.source ?? "");
      };
      const loaded = [...String(contents("index.html")).matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)];
      const names = ["index.html", ...new Set(loaded.map((match) => match[1] as string))];
      const bytes = names.reduce((sum, name) => sum + gzipSync(contents(name)).length, 0);
      const shown = `first load: ${(bytes / 1024).toFixed(1)} KiB of ${MAX_BYTES / 1024} KiB, gzipped`;
      if (bytes > MAX_BYTES) this.error(shown);
      this.info(shown);
    },
  };
}
