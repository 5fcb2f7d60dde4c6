import type { CheckoutMessage, ShippingOption } from "@holdfast/checkout";
import type { UseCheckout } from "@holdfast/checkout/react";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import type { PricedLine } from "../cart";
import { Alert, MessageAlert } from "../components/Alert";
import { Button } from "../components/Button";
import { SignInAction } from "../SignIn";
import { needsShipping } from "../totals";
import { Address, Contact, fieldId, Shipping } from "./DetailsForm";
import {
  type Choices,
  type Details,
  type Errors,
  type FieldName,
  sortViolations,
  toRequest,
  validate,
} from "./details";
import { useCountdown } from "./useCountdown";

interface DetailsStepProps {
  flow: UseCheckout;
  lines: PricedLine[];
  /** Empty where nothing is sent once. */
  options: ShippingOption[];
  dueToday: number;
  details: Details;
  onDetails(details: Details): void;
  choices: Choices;
  onChoices(choices: Choices): void;
  /** The buyer came back from the payment: the focus goes to the heading of this step. */
  isReturn: boolean;
}

/** Step 1. It begins the checkout, or says beside the fields why it cannot begin. */
export function DetailsStep(props: DetailsStepProps) {
  const { flow, lines, options, dueToday, details, onDetails, choices, onChoices, isReturn } = props;
  const mustSend = needsShipping(lines);
  const withAddress = mustSend || choices.withAddress;
  const form = useRef<HTMLFormElement>(null);
  const { errors, own, tries, edited, refuse } = useErrors(details, withAddress, flow.message);
  const wait = useCountdown(flow.message?.retryAfterSeconds ?? 0, flow.message);
  const heading = useRef<HTMLHeadingElement>(null);
  // A message takes the focus itself.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only when the step appears
  useEffect(() => {
    if (isReturn && !flow.message) heading.current?.focus();
  }, []);
  const isBusy = flow.state === "beginning" || flow.state === "resuming";

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isBusy || wait > 0) return;
    const items = lines.map(({ item, quantity }) => ({ priceId: item.priceId, quantity }));
    const request = toRequest(details, items, { ...choices, withAddress });
    if (!refuse()) void flow.begin(request, { expectedDueToday: dueToday });
  };
  const change = (name: FieldName, value: string) => {
    edited(name);
    onDetails({ ...details, [name]: value });
  };
  const part = { details, errors, onChange: change };
  return (
    <form ref={form} className="stack" noValidate onSubmit={submit} aria-busy={isBusy}>
      <h2 className="visually-hidden" ref={heading} tabIndex={-1}>
        Your details
      </h2>
      {own.length > 0 && tries > 0 ? (
        <Alert key={tries} tone="bad" title="Please check your details" focus>
          <ErrorList names={own} errors={errors} />
        </Alert>
      ) : (
        flow.message && (
          <Refused
            message={flow.message}
            lines={lines}
            wait={wait}
            onRetry={() => form.current?.requestSubmit()}
            onStartOver={flow.startOver}
          />
        )
      )}
      <Contact {...part} />
      {!mustSend && (
        <label className="card choice">
          <input
            type="checkbox"
            checked={choices.withAddress}
            onChange={(event) => onChoices({ ...choices, withAddress: event.target.checked })}
          />
          <span>Deliver to an address</span>
        </label>
      )}
      {withAddress && <Address {...part} />}
      {options.length > 0 && (
        <Shipping
          options={options}
          chosen={choices.shippingOptionId}
          onChoose={(shippingOptionId) => onChoices({ ...choices, shippingOptionId })}
        />
      )}
      <div className="stack-s">
        <Button type="submit" variant="primary" size="wide" busy={isBusy} aria-disabled={wait > 0}>
          {flow.state === "beginning" ? "Preparing the payment …" : "Continue to payment"}
        </Button>
        <p className="small soft">
          {wait > 0 ? `You can try again in ${wait} s.` : "Nothing is charged before you confirm the payment."}
        </p>
      </div>
    </form>
  );
}

/** Errors to show: the form's own after the first try, and the gateway's until their field is edited. */
function useErrors(details: Details, withAddress: boolean, message: CheckoutMessage | null) {
  const [tries, setTries] = useState(0);
  const [editedFields, setEdited] = useState<FieldName[]>([]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new answer of the gateway judges all fields anew
  useEffect(() => setEdited([]), [message]);
  const found = validate(details, { withAddress });
  const refused = useMemo(() => sortViolations(message?.fields ?? []).errors, [message]);
  const errors: Errors = tries > 0 ? { ...found } : {};
  for (const [name, text] of Object.entries(refused) as [FieldName, string][]) {
    if (!editedFields.includes(name)) errors[name] ??= text;
  }
  return {
    errors,
    own: Object.keys(found) as FieldName[],
    tries,
    edited: (name: FieldName) => setEdited((before) => [...before, name]),
    /** Show what is wrong; true if anything is. */
    refuse: () => {
      const isRefused = Object.keys(found).length > 0;
      setTries(isRefused ? tries + 1 : 0);
      return isRefused;
    },
  };
}

function ErrorList({ names, errors }: { names: FieldName[]; errors: Errors }) {
  const focus = (name: FieldName) => document.getElementById(fieldId(name))?.focus();
  return (
    <ul className="alert-list stack-s">
      {names.map((name) => (
        <li key={name}>
          <a
            href={`#${fieldId(name)}`}
            onClick={(event) => {
              event.preventDefault();
              focus(name);
            }}
          >
            {errors[name]}
          </a>
        </li>
      ))}
    </ul>
  );
}

interface RefusedProps {
  message: CheckoutMessage;
  lines: PricedLine[];
  wait: number;
  onRetry(): void;
  onStartOver(): void;
}

/** The stored checkout is another account's: whoever is not that buyer begins anew. */
const NOT_YOURS = ["not_yours", "checkout_not_found"];

/** Reason why the checkout did not begin, with the way on that its message names. */
function Refused({ message, lines, wait, onRetry, onStartOver }: RefusedProps) {
  const { errors, other } = sortViolations(message.fields ?? []);
  const retries = ["try_again", "start_over", "wait"].includes(message.action);
  return (
    <MessageAlert
      message={message}
      actions={
        retries ? (
          <Button size="small" aria-disabled={wait > 0} onClick={onRetry}>
            {wait > 0 ? `Try again in ${wait} s` : message.action === "start_over" ? "Begin again" : "Try again"}
          </Button>
        ) : (
          message.action === "sign_in" && (
            <>
              <SignInAction />
              {NOT_YOURS.includes(message.kind) && (
                <Button size="small" onClick={onStartOver}>
                  Begin a new purchase
                </Button>
              )}
            </>
          )
        )
      }
    >
      <ErrorList names={Object.keys(errors) as FieldName[]} errors={errors} />
      {other.length > 0 && message.kind !== "item_gone" && (
        <ul className="alert-list">
          {other.map(({ field, message: text }) => (
            <li key={field}>
              {nameOf(field, lines)} {text}
            </li>
          ))}
        </ul>
      )}
    </MessageAlert>
  );
}

/** Name of what a violation is about: the product of `items[2].quantity`, else the path itself. */
function nameOf(field: string, lines: PricedLine[]): string {
  const index = /^items\[(\d+)\]/.exec(field)?.[1];
  return (index && lines[Number(index)]?.item.name) ?? field;
}
