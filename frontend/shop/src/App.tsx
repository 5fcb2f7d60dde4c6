import { type Catalogue, createClient } from "@holdfast/checkout";
import { useEffect, useState } from "react";
import { formatMoney } from "./money";

const client = createClient();

export function App() {
  const [catalogue, setCatalogue] = useState<Catalogue | null>(null);
  useEffect(() => {
    client.catalogue().then(setCatalogue, () => setCatalogue(null));
  }, []);
  return (
    <ul>
      {catalogue?.items.map((item) => (
        <li key={item.priceId}>
          {item.name} {formatMoney(item.unitAmount, item.currency)}
        </li>
      ))}
    </ul>
  );
}
