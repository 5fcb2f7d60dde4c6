/** Step 1: who buys, where it goes, and how. */

import type { ShippingOption } from "@holdfast/checkout";
import type { ReactNode } from "react";
import { Field, SelectField } from "../components/Field";
import { Money } from "../components/small";
import { listCountries } from "./countries";
import { type Details, type Errors, type FieldName, LABELS } from "./details";

const COUNTRIES = listCountries(navigator.language);

export function fieldId(name: FieldName): string {
  return `checkout-${name}`;
}

interface PartProps {
  details: Details;
  errors: Errors;
  onChange(name: FieldName, value: string): void;
}

interface Spec {
  name: FieldName;
  autoComplete: string;
  type?: "email" | "tel";
  hint?: string;
  optional?: boolean;
}

const CONTACT: Spec[] = [
  { name: "email", autoComplete: "email", type: "email" },
  { name: "name", autoComplete: "name" },
  { name: "phone", autoComplete: "tel", type: "tel", optional: true },
];

const ADDRESS: Spec[] = [
  { name: "line1", autoComplete: "shipping address-line1" },
  { name: "line2", autoComplete: "shipping address-line2", optional: true },
  { name: "city", autoComplete: "shipping address-level2" },
  { name: "postalCode", autoComplete: "shipping postal-code", optional: true },
  { name: "state", autoComplete: "shipping address-level1", optional: true },
];

const LONGEST: Partial<Record<FieldName, number>> = { email: 254, name: 250, phone: 40 };

function Inputs({ fields, details, errors, onChange }: PartProps & { fields: Spec[] }) {
  return fields.map(({ name, ...field }) => (
    <Field
      key={name}
      {...field}
      label={LABELS[name]}
      id={fieldId(name)}
      name={name}
      value={details[name]}
      error={errors[name]}
      maxLength={LONGEST[name] ?? 200}
      onChange={(event) => onChange(name, event.target.value)}
    />
  ));
}

export function Contact(props: PartProps) {
  return (
    <fieldset className="card form-part">
      <legend>Contact</legend>
      <div className="fields">
        <Inputs fields={CONTACT} {...props} />
      </div>
    </fieldset>
  );
}

export function Address({ before, ...props }: PartProps & { before?: ReactNode }) {
  const { details, errors, onChange } = props;
  return (
    <fieldset className="card form-part">
      <legend>Delivery address</legend>
      {before}
      <div className="fields">
        <SelectField
          id={fieldId("country")}
          name="country"
          label={LABELS.country}
          autoComplete="shipping country"
          value={details.country}
          error={errors.country}
          onChange={(event) => onChange("country", event.target.value)}
        >
          {COUNTRIES.map(({ code, name }) => (
            <option key={code} value={code}>
              {name}
            </option>
          ))}
        </SelectField>
        <Inputs fields={ADDRESS} {...props} />
      </div>
    </fieldset>
  );
}

interface ShippingProps {
  options: ShippingOption[];
  chosen: string | undefined;
  onChoose(id: string): void;
}

export function Shipping({ options, chosen, onChoose }: ShippingProps) {
  return (
    <fieldset className="card form-part">
      <legend>Shipping</legend>
      <div className="choices">
        {options.map(({ id, name, amount, currency }) => (
          <label key={id} className="choice">
            <input type="radio" name="shipping" value={id} checked={id === chosen} onChange={() => onChoose(id)} />
            <span>{name}</span>
            <strong>{amount === 0 ? "Free" : <Money amount={amount} currency={currency} />}</strong>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
