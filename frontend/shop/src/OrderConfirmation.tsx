import { Page } from "./router";

export default function OrderConfirmation() {
  return (
    <Page title="Order confirmation" narrow>
      <p>Not here yet.</p>
    </Page>
  );
}
