import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/components.css";
import "./styles/frame.css";
import "./styles/catalogue.css";
import "./styles/cart.css";
import { stripSecrets } from "@holdfast/checkout";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";

// Stripe's redirect puts the client secret into the address. It goes also where the page's own code does not load.
stripSecrets();

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
