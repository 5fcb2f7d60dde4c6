import { MAX_QUANTITY } from "../cart";

interface QuantityProps {
  /** Name of the thing that is counted, for screen readers. */
  of: string;
  value: number;
  min?: number;
  onChange(value: number): void;
}

export function Quantity({ of, value, min = 1, onChange }: QuantityProps) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would need a legend in sight
    <div className="quantity" role="group" aria-label={`Quantity of ${of}`}>
      <button type="button" aria-label="One less" disabled={value <= min} onClick={() => onChange(value - 1)}>
        −
      </button>
      <output>{value}</output>
      <button type="button" aria-label="One more" disabled={value >= MAX_QUANTITY} onClick={() => onChange(value + 1)}>
        +
      </button>
    </div>
  );
}
