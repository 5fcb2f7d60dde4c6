import { client } from "./client";
import { EmptyState } from "./components/small";
import { useKeysetPages } from "./keysetPages";
import { OrderCard } from "./OrdersCard";
import { PagedList } from "./PagedList";
import { Link, Page } from "./router";
import { SignInNeeded } from "./SignIn";
import { useIdentity, useSession } from "./session";

export default function Orders() {
  const session = useSession();
  const identity = useIdentity();
  return (
    <Page title="Your orders" narrow>
      {session === "signed_in" ? (
        <OrderList key={identity} />
      ) : (
        <SignInNeeded>
          Orders are listed for signed-in customers. As a guest, keep the page that confirmed your order.
        </SignInNeeded>
      )}
    </Page>
  );
}

async function readOrders(cursor: string | undefined) {
  const { orders, nextCursor } = await client.orders(cursor);
  return { items: orders, nextCursor };
}

function OrderList() {
  const pages = useKeysetPages(readOrders);
  return (
    <PagedList pages={pages} what="orders" empty={<NoOrders />}>
      {(order) => <OrderCard order={order} />}
    </PagedList>
  );
}

function NoOrders() {
  return (
    <EmptyState
      title="No orders yet"
      action={
        <Link className="button button-primary" to="/">
          See what is on sale
        </Link>
      }
    >
      What you order while signed in is listed here. Orders placed as a guest are not.
    </EmptyState>
  );
}
