import { Page } from "./router";

export default function Checkout() {
  return (
    <Page title="Checkout">
      <p>Not here yet.</p>
    </Page>
  );
}
