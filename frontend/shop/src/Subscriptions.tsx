import type { Subscription } from "@holdfast/checkout";
import { client } from "./client";
import { EmptyState } from "./components/small";
import { useKeysetPages } from "./keysetPages";
import { PagedList } from "./PagedList";
import { Link, Page } from "./router";
import { SignInNeeded } from "./SignIn";
import { SubscriptionCard } from "./SubscriptionsCard";
import { SubscriptionEnding } from "./SubscriptionsEnding";
import { SubscriptionPortal } from "./SubscriptionsPortal";
import { useIdentity, useSession } from "./session";

export default function Subscriptions() {
  const session = useSession();
  const identity = useIdentity();
  return (
    <Page title="Your subscriptions" narrow>
      {session === "signed_in" ? (
        <SubscriptionList key={identity} />
      ) : (
        <SignInNeeded>
          Subscriptions are listed for signed-in customers. As a guest, end yours in the customer portal that is linked
          on the page that confirmed your order.
        </SignInNeeded>
      )}
    </Page>
  );
}

async function readSubscriptions(cursor: string | undefined) {
  const { subscriptions, nextCursor } = await client.subscriptions(cursor);
  return { items: subscriptions, nextCursor };
}

function SubscriptionList() {
  const pages = useKeysetPages<Subscription>(readSubscriptions);
  // The list has no client secrets of open invoices.
  const lookAgain = ({ id }: Subscription) => client.subscription(id).then(pages.replace, ignore);
  return (
    <PagedList pages={pages} what="subscriptions" empty={<NoSubscriptions />}>
      {(subscription) => (
        <SubscriptionCard subscription={subscription} lookAgain={() => lookAgain(subscription)} heading="h2">
          <div className="row subscription-actions">
            <SubscriptionPortal subscription={subscription} />
            <SubscriptionEnding subscription={subscription} onChange={pages.replace} />
          </div>
        </SubscriptionCard>
      )}
    </PagedList>
  );
}

/** Leave a failed look to the next one. */
function ignore(): void {}

function NoSubscriptions() {
  return (
    <EmptyState
      title="No subscriptions yet"
      action={
        <Link className="button button-primary" to="/">
          See what is on sale
        </Link>
      }
    >
      Subscriptions that you begin while signed in are listed here, and end here.
    </EmptyState>
  );
}
