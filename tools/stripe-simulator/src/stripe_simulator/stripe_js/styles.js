// @ts-check
"use strict";

const STYLES = `
:host { all: initial; display: block; container-type: inline-size; }
*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.root {
  --muted: var(--colorTextSecondary, color-mix(in srgb, var(--colorText) 76%, var(--colorBackground)));
  --faint: var(--colorTextPlaceholder, color-mix(in srgb, var(--colorText) 72%, var(--colorBackground)));
  --line: color-mix(in srgb, var(--colorText) 18%, var(--colorBackground));
  --edge: color-mix(in srgb, var(--colorText) 52%, var(--colorBackground));
  --tint: color-mix(in srgb, var(--colorText) 5%, var(--colorBackground));
  --ring: color-mix(in srgb, var(--colorPrimary) 28%, transparent);
  --onPrimary: var(--accessibleColorOnColorPrimary, var(--colorBackground));
  --gap: calc(var(--spacingUnit) * 3);
  position: relative; display: grid; gap: calc(var(--spacingUnit) * 4);
  color: var(--colorText); font: var(--fontWeightNormal) var(--fontSizeBase)/var(--fontLineHeight) var(--fontFamily);
  -webkit-font-smoothing: antialiased; text-align: start;
}
svg { width: 1.25em; height: 1.25em; flex: none; stroke-linecap: round; stroke-linejoin: round; }
button, input, select { font: inherit; color: inherit; margin: 0; }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.tabs { display: grid; gap: calc(var(--spacingUnit) * 2); grid-template-columns: repeat(auto-fit, minmax(88px, 1fr)); }
.tab {
  position: relative; display: grid; gap: calc(var(--spacingUnit) * 1); align-content: start; cursor: pointer;
  min-height: calc(var(--spacingUnit) * 15); padding: calc(var(--spacingUnit) * 2.5) var(--gap);
  border: 1px solid var(--line); border-radius: var(--borderRadius); background: var(--colorBackground);
  color: var(--muted); font-size: 0.875em; font-weight: var(--fontWeightMedium); line-height: 1.25;
}
.tab input { position: absolute; inset: 0; opacity: 0; cursor: pointer; }
.tab:hover { color: var(--colorText); border-color: var(--edge); }
.tab:has(:checked) { color: var(--colorText); border-color: var(--colorPrimary); box-shadow: 0 0 0 1px var(--colorPrimary); }
.tab:has(:checked) svg { color: var(--colorPrimary); }
.tab:has(:focus-visible) { box-shadow: 0 0 0 1px var(--colorPrimary), 0 0 0 4px var(--ring); }
/* Labels of two lines are likely here. Their room is reserved before they are known. */
@container (max-width: 26rem) { .tab { min-height: calc(1.5 * var(--fontSizeBase) + 2.2em + var(--spacingUnit) * 6); } }

.fields { display: grid; gap: var(--gap); grid-template-columns: 1fr 1fr; align-items: start; }
.field { display: grid; gap: var(--spacingUnit); min-width: 0; }
.field.wide, .wide { grid-column: 1 / -1; }
.field label { font-size: 0.9em; font-weight: var(--fontWeightMedium); }
.box { position: relative; display: grid; }
.box input {
  width: 100%; min-width: 0; padding: calc(var(--spacingUnit) * 2.5) var(--gap); line-height: 1.5;
  border: 1px solid var(--edge); border-radius: var(--borderRadius); background: var(--colorBackground);
  font-variant-numeric: tabular-nums; outline: none; box-shadow: 0 1px 1px rgb(0 0 0 / 4%);
}
.box input::placeholder { color: var(--faint); opacity: 1; }
.box input:focus { border-color: var(--colorPrimary); box-shadow: 0 0 0 1px var(--colorPrimary), 0 0 0 4px var(--ring); }
.box input[aria-invalid=true] { border-color: var(--colorDanger); box-shadow: 0 0 0 1px var(--colorDanger); }
.box.marked input { padding-inline-end: 5.5em; }
.mark {
  position: absolute; inset-block: 0; inset-inline-end: var(--gap); display: flex; align-items: center; gap: 0.4em;
  color: var(--muted); font-size: 0.75em; font-weight: 600; letter-spacing: 0.02em; pointer-events: none;
}
.alert { margin: 0; color: var(--colorDanger); font-size: 0.9em; }
.alert:empty { display: none; }
.text { margin: 0; color: var(--muted); font-size: 0.9em; }

.redirect { display: flex; gap: var(--gap); align-items: center; padding: calc(var(--spacingUnit) * 4); }
.redirect, .note { border-radius: var(--borderRadius); background: var(--tint); }
.redirect svg { width: 2em; height: 2em; color: var(--muted); }

.note { display: grid; gap: calc(var(--spacingUnit) * 2); padding: var(--gap); font-size: 0.85em; }
.note p { display: flex; gap: 0.5em; align-items: center; margin: 0; color: var(--colorText); font-weight: var(--fontWeightMedium); }
.fills { display: flex; flex-wrap: wrap; gap: calc(var(--spacingUnit) * 1.5); }
.fills button {
  min-height: 28px; padding: 0 0.75em; border: 1px solid var(--line); border-radius: 99px; cursor: pointer;
  background: var(--colorBackground); color: var(--colorText);
}
.fills button:hover { border-color: var(--edge); }
.fills .digits { color: var(--muted); font-variant-numeric: tabular-nums; }
button:focus-visible { outline: 2px solid var(--colorPrimary); outline-offset: 2px; }

.loading > * { visibility: hidden; }
.loading::after {
  content: ""; position: absolute; inset: 0; border-radius: var(--borderRadius); background: var(--tint);
}
.root:not([data-still=true]).loading::after { animation: breathe 1.6s ease-in-out infinite; }
@keyframes breathe { 50% { opacity: 0.5; } }

.wallets { display: grid; gap: calc(var(--spacingUnit) * 2); grid-template-columns: repeat(var(--columns, 2), minmax(0, 1fr)); }
.wallets button {
  height: var(--buttonHeight, 44px); border: 0; border-radius: var(--borderRadius); cursor: pointer;
  display: flex; gap: 0.5em; align-items: center; justify-content: center; font-weight: 600; white-space: nowrap;
}
.wallets svg { width: 1.1em; height: 1.1em; }
.wallets .google_pay { background: #1f1f1f; color: #ffffff; box-shadow: inset 0 0 0 1px rgb(255 255 255 / 20%); }
.wallets .google_pay:hover { background: #3c4043; }
.wallets .link { background: #00d66f; color: #011e0f; }
.wallets .link:hover { background: #00c265; }

dialog {
  width: min(26rem, calc(100vw - 2rem)); max-height: calc(100dvh - 2rem); padding: 0; border: 0;
  border-radius: calc(var(--borderRadius) + 6px); background: var(--colorBackground); color: inherit;
  box-shadow: 0 24px 64px rgb(0 0 0 / 35%), 0 0 0 1px var(--line);
}
dialog::backdrop { background: rgb(10 12 20 / 60%); }
.sheet { display: grid; gap: calc(var(--spacingUnit) * 4); padding: calc(var(--spacingUnit) * 6); }
.sheet .source { display: flex; gap: 0.6em; align-items: center; color: var(--muted); font-size: 0.85em; font-weight: var(--fontWeightMedium); }
.sheet h2 { margin: 0; font-size: 1.25em; line-height: 1.25; font-weight: 600; text-wrap: balance; }
.sheet h2:focus { outline: none; }
.sheet .amount { margin: 0; font-size: 1.75em; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.2; }
.sheet .buttons { display: grid; gap: calc(var(--spacingUnit) * 2); }
.sheet button {
  min-height: 44px; padding: 0 1em; border-radius: var(--borderRadius); cursor: pointer; font-weight: 600;
  border: 1px solid var(--edge); background: transparent;
}
.sheet button:hover { background: var(--tint); }
.sheet button.main { border-color: var(--colorPrimary); background: var(--colorPrimary); color: var(--onPrimary); }
.sheet button.main:hover { filter: brightness(1.08); }
@media (prefers-reduced-motion) { .loading::after { animation: none !important; } }
@media (forced-colors: active) { .tab:has(:checked) { outline: 2px solid Highlight; } }
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/**
 * Open a shadow root with the stylesheet. A constructed one needs no 'unsafe-inline'.
 * @param {HTMLElement} host
 * @param {HTMLElement} root
 */
function openShadow(host, root) {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
  }
  const shadow = host.attachShadow({ mode: "open" });
  shadow.adoptedStyleSheets = [sheet];
  shadow.append(root);
}
