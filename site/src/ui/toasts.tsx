import { Toast } from "@base-ui/react/toast";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/client.ts";
import { IconButton } from "./Button.tsx";
import styles from "./toasts.module.css";

interface ToastData {
  tone: "good" | "bad";
}

const manager = Toast.createToastManager<ToastData>();

/** Says in the corner that something is done. */
export function tell(title: string, description?: string): void {
  manager.add({ title, description, data: { tone: "good" } });
}

/** Says in the corner, until somebody closes it, that something was not done, and why. */
export function tellError(title: string, error: unknown): void {
  const description = sentenceOf(error);
  manager.add({ title, description, data: { tone: "bad" }, priority: "high", timeout: 0 });
}

/** What the server said of a failure. */
export function sentenceOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return "Something went wrong in this page. Reload it, then try again.";
}

/** Where toasts appear; once around everything. */
export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider toastManager={manager}>
      {children}
      <Toast.Portal>
        <Toast.Viewport className={styles.viewport}>
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function ToastList() {
  const { toasts } = Toast.useToastManager<ToastData>();
  return toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className={styles.toast} data-tone={toast.data?.tone}>
      <Toast.Content className={styles.content}>
        <div className={styles.text}>
          <Toast.Title className={styles.title} />
          <Toast.Description className={styles.description} />
        </div>
        {/* Base UI hides it from who is read to while toasts lie on a pile; these never do. */}
        <Toast.Close render={<IconButton label="Dismiss" />} aria-hidden={false}>
          <X size={16} aria-hidden />
        </Toast.Close>
      </Toast.Content>
    </Toast.Root>
  ));
}
