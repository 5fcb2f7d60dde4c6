import { act, type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { onTestFinished } from "vitest";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

/** Render into the document in StrictMode, and let what is under way finish. */
export async function render(children: ReactNode): Promise<HTMLElement> {
  const container = document.body.appendChild(document.createElement("div"));
  const root = createRoot(container);
  onTestFinished(async () => {
    await act(async () => root.unmount());
    container.remove();
  });
  await act(async () => root.render(<StrictMode>{children}</StrictMode>));
  return container;
}

function Hook({ useIt }: { useIt(): void }) {
  useIt();
  return null;
}

/** Run a hook. Return what reads its newest result. */
export async function renderHook<T>(useIt: () => T): Promise<() => T> {
  let results: T[] = [];
  const show = () => {
    results = [useIt()];
  };
  await render(<Hook useIt={show} />);
  return () => results[0] as T;
}
