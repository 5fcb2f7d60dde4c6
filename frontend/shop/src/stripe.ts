/** Stripe.js, loaded when a page needs it: Stripe's own, or the stand-in that `/api/config` names. */

import type { Config } from "@holdfast/checkout";
import type { Stripe } from "@stripe/stripe-js";
import { loadStripe } from "@stripe/stripe-js/pure";
import { useEffect, useState } from "react";
import { useConfig } from "./data";

const STRIPE_ORIGIN = "https://js.stripe.com/";

let loading: Promise<Stripe> | null = null;

/** Load Stripe.js once. After a failure the next call tries again. */
function load(config: Config): Promise<Stripe> {
  loading ??= start(config).catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function start({ stripeJsUrl, publishableKey }: Config): Promise<Stripe> {
  // loadStripe takes a Stripe.js that is there already, and else loads Stripe's own.
  if (!stripeJsUrl.startsWith(STRIPE_ORIGIN)) await loadScript(stripeJsUrl);
  const stripe = await loadStripe(publishableKey);
  if (!stripe) throw new Error("Stripe.js did not load");
  return stripe;
}

function loadScript(src: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = src;
    script.onload = () => resolve();
    script.onerror = () => {
      script.remove();
      reject(new Error("Stripe.js did not load"));
    };
    document.head.append(script);
  });
}

export interface LoadedStripe {
  stripe: Stripe | null;
  failed: boolean;
  retry(): void;
}

export function useStripeJs(): LoadedStripe {
  const { data, failed: configFailed, reload } = useConfig();
  const [stripe, setStripe] = useState<Stripe | null>(null);
  const [failed, setFailed] = useState(false);
  const [tries, setTries] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each try loads again
  useEffect(() => {
    if (!data) return;
    let current = true;
    load(data).then(
      (loaded) => current && setStripe(loaded),
      () => current && setFailed(true),
    );
    return () => {
      current = false;
    };
  }, [data, tries]);
  const retry = () => {
    setFailed(false);
    if (configFailed) reload();
    setTries(tries + 1);
  };
  return { stripe, failed: (failed || configFailed) && !stripe, retry };
}
