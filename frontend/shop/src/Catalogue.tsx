import type { CatalogueItem } from "@holdfast/checkout";
import { useEffect, useState } from "react";
import { Art } from "./Art";
import { cart } from "./cart";
import { Alert } from "./components/Alert";
import { Button } from "./components/Button";
import { Quantity } from "./components/Quantity";
import { EmptyState, Loading, Money, Skeleton } from "./components/small";
import { useCatalogue } from "./data";
import { formatInterval } from "./money";
import { focusHeading, navigate, Page } from "./router";

export function Catalogue() {
  const { data, failed, reload } = useCatalogue();
  const retry = () => {
    reload();
    focusHeading();
  };
  return (
    <Page
      title="Goods for a small harbour"
      lead="Things to keep, and things that come again by themselves. Put both into one cart and pay once."
      hero={<Chart />}
    >
      {data ? (
        <Shelves items={data.items} />
      ) : failed ? (
        <Alert tone="bad" title="The catalogue did not load" actions={<Button onClick={retry}>Try again</Button>}>
          <p className="alert-text">Your cart is kept. Check your connection, then try again.</p>
        </Alert>
      ) : (
        <ShelvesLoading />
      )}
    </Page>
  );
}

/** Sea chart: depth lines, soundings, and a course to the buoy. */
function Chart() {
  return (
    <svg className="chart" viewBox="0 0 640 320" width="640" height="320" aria-hidden="true">
      <path d="M640 36c-70 4-92 44-150 50s-92-34-150-14-58 84-120 96S104 220 40 330" />
      <path d="M640 84c-56 6-84 44-136 50s-96-26-140-6-50 82-108 96-78 40-104 100" />
      <path d="M640 132c-44 8-72 42-118 48s-84-18-122 2-40 70-88 86-50 28-60 60" />
      <path d="M640 180c-34 8-56 38-94 44s-70-8-100 12-30 50-60 66-22 14-26 22" />
      <path d="M640 226c-24 6-38 32-66 38s-50 2-72 18-20 26-34 40" />
      <path className="chart-course" d="M232 330C330 260 380 210 470 160" />
      <path className="chart-buoy" d="M470 118l17 34h-34zM453 156h34l-6 12h-22z" />
      <text x="132" y="236">
        12
      </text>
      <text x="300" y="112">
        9
      </text>
      <text x="392" y="158">
        7
      </text>
      <text x="548" y="126">
        5
      </text>
      <text x="600" y="62">
        14
      </text>
      <text x="560" y="214">
        3
      </text>
      <text x="352" y="286">
        4
      </text>
      <text x="210" y="166">
        11
      </text>
    </svg>
  );
}

function Shelves({ items }: { items: CatalogueItem[] }) {
  const once = items.filter(({ type }) => type === "one_time");
  const recurring = items.filter(({ type }) => type === "recurring");
  if (items.length === 0) return <EmptyState title="Nothing is on sale">Come back with the next tide.</EmptyState>;
  return (
    <div className="shelves">
      {once.length > 0 && <Shelf id="keep" title="To keep" items={once} />}
      {recurring.length > 0 && <Shelf id="again" title="On repeat" items={recurring} />}
    </div>
  );
}

function Shelf({ id, title, items }: { id: string; title: string; items: CatalogueItem[] }) {
  return (
    <section className="stack" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <ul className="shelf">
        {items.map((item) => (
          <li key={item.priceId}>
            <Product item={item} />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Time for which the button says how many were added. */
const ADDED_MILLISECONDS = 2500;

function Product({ item }: { item: CatalogueItem }) {
  const [quantity, setQuantity] = useState(1);
  const [added, setAdded] = useState(0);
  useEffect(() => {
    if (added === 0) return;
    const timer = setTimeout(() => setAdded(0), ADDED_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [added]);
  const add = () => {
    cart.add(item.priceId, quantity);
    setAdded(added + quantity);
    setQuantity(1);
  };
  const buy = () => {
    cart.atLeast(item.priceId, quantity);
    navigate("/checkout");
  };
  return (
    <article className="product">
      <Art item={item} />
      <div className="product-text">
        <h3>{item.name}</h3>
        <p className="soft">{item.description}</p>
      </div>
      <div className="product-price">
        <Price item={item} />
        <Quantity of={item.name} value={quantity} onChange={setQuantity} />
      </div>
      <div className="product-actions">
        <Button onClick={add} aria-label={`${added ? `Added ${added}` : "Add to cart"}: ${item.name}`}>
          {added ? `Added ${added}` : "Add to cart"}
        </Button>
        <Button variant="primary" onClick={buy} aria-label={`Buy now: ${item.name}`}>
          Buy now
        </Button>
      </div>
      <p className="visually-hidden" role="status">
        {added > 0 && `${item.name}: ${added} added to the cart`}
      </p>
    </article>
  );
}

function Price({ item: { unitAmount, currency, recurring } }: { item: CatalogueItem }) {
  return (
    <p className="price">
      <strong>
        <Money amount={unitAmount} currency={currency} />
      </strong>
      {recurring && <span className="small soft">{formatInterval(recurring)}</span>}
      {recurring && recurring.trialDays > 0 && <span className="badge badge-ok">{recurring.trialDays} days free</span>}
    </p>
  );
}

/** Shelves of the usual size, so that nothing moves when the products come. */
function ShelvesLoading() {
  return (
    <div className="shelves">
      <Loading what="the catalogue" />
      {["a", "b"].map((shelf) => (
        <div className="stack" key={shelf} aria-hidden="true">
          <Skeleton className="skeleton-h2" />
          <div className="shelf">
            {["a", "b", "c", "d"].map((product) => (
              <div className="product" key={product}>
                <div className="art skeleton" />
                <Skeleton className="skeleton-product" />
              </div>
            ))}
          </div>
        </div>
      ))}
    </div>
  );
}
