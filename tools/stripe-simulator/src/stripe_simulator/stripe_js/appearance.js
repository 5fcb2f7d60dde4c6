// @ts-check
"use strict";

/** @typedef {{theme?: string, variables?: {[name: string]: string}, disableAnimations?: boolean}} Appearance */

/** Variables of Stripe's Appearance API that the stand-in knows, with the values of each theme. */
const THEMES = {
  stripe: {
    colorPrimary: "#0570de",
    colorBackground: "#ffffff",
    colorText: "#30313d",
    colorDanger: "#c0123c",
    fontFamily: "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif",
    fontSizeBase: "1rem",
    fontLineHeight: "1.4",
    fontWeightNormal: "400",
    fontWeightMedium: "500",
    borderRadius: "6px",
    spacingUnit: "4px",
  },
  night: { colorPrimary: "#85d996", colorBackground: "#30313d", colorText: "#ffffff", colorDanger: "#ffb3c2" },
  flat: { colorBackground: "#f1f1f1", borderRadius: "4px" },
};

/** Optional variables, which are mixed from the others where a page does not set them. */
const DERIVED = ["colorTextSecondary", "colorTextPlaceholder", "accessibleColorOnColorPrimary"];

/**
 * Write an appearance into a root as custom properties. The stylesheet reads nothing else.
 * @param {HTMLElement} root
 * @param {Appearance} appearance
 */
function applyAppearance(root, appearance) {
  const theme = appearance.theme ?? "stripe";
  if (!Object.hasOwn(THEMES, theme)) {
    throw new IntegrationError(`Invalid value for elements(): appearance.theme should be one of stripe, night, flat.`);
  }
  const own = THEMES[/** @type {keyof typeof THEMES} */ (theme)];
  const values = { ...THEMES.stripe, ...own, ...appearance.variables };
  for (const name of [...Object.keys(THEMES.stripe), ...DERIVED]) {
    const value = values[/** @type {keyof typeof values} */ (name)];
    if (value === undefined) root.style.removeProperty(`--${name}`);
    else root.style.setProperty(`--${name}`, value);
  }
  root.dataset.still = String(appearance.disableAnimations ?? false);
}
