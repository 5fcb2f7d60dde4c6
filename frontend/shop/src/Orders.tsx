import { Page } from "./router";

export default function Orders() {
  return (
    <Page title="Your orders" narrow>
      <p>Not here yet.</p>
    </Page>
  );
}
