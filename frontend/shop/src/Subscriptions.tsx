import { Page } from "./router";

export default function Subscriptions() {
  return (
    <Page title="Your subscriptions" narrow>
      <p>Not here yet.</p>
    </Page>
  );
}
