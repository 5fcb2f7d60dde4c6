import { cart } from "./cart";
import { Alert } from "./components/Alert";
import { Button } from "./components/Button";
import { Loading, Money } from "./components/small";
import { useCatalogue } from "./data";
import { Page } from "./router";

export function Catalogue() {
  const { data, failed, reload } = useCatalogue();
  return (
    <Page title="Goods for a small harbour">
      {failed && (
        <Alert tone="bad" title="The catalogue did not load" actions={<Button onClick={reload}>Try again</Button>} />
      )}
      {!data && !failed && <Loading what="the catalogue" />}
      <ul className="stack">
        {data?.items.map((item) => (
          <li key={item.priceId} className="card spread">
            <h3>{item.name}</h3>
            <Money amount={item.unitAmount} currency={item.currency} />
            <Button onClick={() => cart.add(item.priceId)}>Add to cart</Button>
          </li>
        ))}
      </ul>
    </Page>
  );
}
