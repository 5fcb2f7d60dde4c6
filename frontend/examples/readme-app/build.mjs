// Builds the app of the package's README, as a shop would that installs the package: `npm run build` first, then
// `node build.mjs GATEWAY PRICE_ID STRIPE_JS_URL`. It prints the folder of the built app.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const [gateway, priceId, stripeJsUrl] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
const frontend = fileURLToPath(new URL("../..", import.meta.url));
const packageFolder = `${frontend}packages/checkout`;
// Below node_modules the app finds React and Stripe, and nobody checks or commits it.
const app = `${frontend}node_modules/.readme-app`;
const installed = `${app}/node_modules/@holdfast/checkout`;

const EXAMPLES = { "https://pay.example.com": gateway, price_mug: priceId };
const MAX_LINES = 30;

function run(program, ...args) {
  execFileSync(program, args, { cwd: app, stdio: ["ignore", "ignore", "inherit"] });
}

/** Return the README's app, with the examples replaced. */
function readmeApp() {
  const [, code] = readFileSync(`${packageFolder}/README.md`, "utf8").match(/```tsx\n(.*?)```/s);
  const lines = code.trimEnd().split("\n").length;
  if (lines > MAX_LINES) throw new Error(`the README's app has ${lines} lines, more than ${MAX_LINES}`);
  return Object.entries(EXAMPLES).reduce((text, [example, real]) => {
    if (!text.includes(example)) throw new Error(`the README's app has no ${example}`);
    return text.replaceAll(example, real);
  }, code);
}

/** Install what `npm pack` would publish. */
function install() {
  run("npm", "pack", "--silent", "--pack-destination", app, packageFolder);
  const archive = readdirSync(app).find((name) => name.endsWith(".tgz"));
  mkdirSync(installed, { recursive: true });
  run("tar", "-xzf", archive, "-C", installed, "--strip-components", "1");
}

rmSync(app, { recursive: true, force: true });
mkdirSync(app, { recursive: true });
install();
cpSync(`${here}tsconfig.json`, `${app}/tsconfig.json`);
writeFileSync(`${app}/app.tsx`, readmeApp());
writeFileSync(`${app}/index.html`, readFileSync(`${here}index.html`, "utf8").replace("%STRIPE_JS%", stripeJsUrl));
run(process.execPath, `${frontend}node_modules/typescript/bin/tsc`, "--project", app);
await build({ root: app, configFile: false, logLevel: "error", build: { modulePreload: { polyfill: false } } });
console.log(`${app}/dist`);
