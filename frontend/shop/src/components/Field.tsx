import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";

interface FieldProps {
  /** Given where something else points to the field, such as a list of errors. */
  id?: string;
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  optional?: boolean;
}

/** Attributes of an input, so that its label, hint and error are read with it. */
interface Wiring {
  id: string;
  className: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
}

function Labelled({
  id: given,
  label,
  hint,
  error,
  optional,
  children,
}: FieldProps & { children: (wiring: Wiring) => ReactNode }) {
  const generated = useId();
  const id = given ?? generated;
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label className="label" htmlFor={id}>
        {label} {optional && <span className="label-optional">(optional)</span>}
      </label>
      {children({
        id,
        className: "input",
        "aria-describedby": described || undefined,
        "aria-invalid": error ? true : undefined,
      })}
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      {error && (
        <span className="field-error" id={`${id}-error`}>
          {error}
        </span>
      )}
    </div>
  );
}

export function Field({
  id,
  label,
  hint,
  error,
  optional = false,
  ...input
}: FieldProps & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <Labelled {...{ ...(id && { id }), label, hint, error, optional }}>
      {(wiring) => <input type="text" required={!optional} {...input} {...wiring} />}
    </Labelled>
  );
}

export function SelectField({
  id,
  label,
  hint,
  error,
  optional = false,
  ...select
}: FieldProps & SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <Labelled {...{ ...(id && { id }), label, hint, error, optional }}>
      {(wiring) => <select required={!optional} {...select} {...wiring} />}
    </Labelled>
  );
}
