// Starts the panel.

import "./styles/base.css";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { lazy, StrictMode, Suspense, useMemo } from "react";
import { createRoot } from "react-dom/client";
import { newQueryClient } from "./api/cache.ts";
import { useSession } from "./auth/session.ts";
import { router } from "./router.tsx";
import { applyTheme, storedTheme } from "./shell/theme.ts";
import { LoadingPage, Toasts } from "./ui/index.ts";

// Known when the panel is built, so only one of the two is in the bundle.
const Gate = import.meta.env.VITE_CLERK_PUBLISHABLE_KEY
  ? lazy(() => import("./auth/clerk.tsx"))
  : lazy(() => import("./auth/emulator.tsx"));

function Panel() {
  const { userId } = useSession();
  const client = useMemo(() => newQueryClient(userId), [userId]);
  return (
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  );
}

applyTheme(storedTheme());

const root = document.getElementById("root");
if (!root) throw new Error("The page has no root element.");
createRoot(root).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <Toasts>
        <Suspense fallback={<LoadingPage label="Loading" />}>
          <Gate>
            <Panel />
          </Gate>
        </Suspense>
      </Toasts>
    </CSPProvider>
  </StrictMode>,
);
