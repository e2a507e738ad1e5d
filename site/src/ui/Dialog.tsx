import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { Button, type ButtonVariant, IconButton } from "./Button.tsx";
import { classes } from "./classes.ts";
import styles from "./Dialog.module.css";

interface DialogProps {
  isOpen: boolean;
  onClose: () => void;
  title: string;
  description?: ReactNode;
  isWide?: boolean;
  /** What gets the focus when it opens; else the first thing that can have it. */
  initialFocus?: () => HTMLElement | null;
  /** Called when it is gone from the screen, for what should not change before. */
  onClosed?: () => void;
  children?: ReactNode;
  /** The buttons, the one that does it last. */
  footer?: ReactNode;
}

/** Takes the focus, keeps it, and gives it back. Escape closes it. */
export function Dialog(props: DialogProps) {
  const { isOpen, onClose, title, description, isWide, onClosed, children, footer } = props;
  const { initialFocus = true } = props;
  return (
    <Base.Root
      open={isOpen}
      onOpenChange={(open) => open || onClose()}
      onOpenChangeComplete={(open) => open || onClosed?.()}
    >
      <Base.Portal>
        <Base.Backdrop className={styles.backdrop} />
        <Base.Popup
          className={classes(styles.popup, isWide && styles.wide)}
          initialFocus={initialFocus}
        >
          <header className={styles.header}>
            <Base.Title className={styles.title}>{title}</Base.Title>
            <Base.Close render={<IconButton label="Close" className={styles.close} />}>
              <X size={18} aria-hidden />
            </Base.Close>
          </header>
          {description && (
            <Base.Description className={styles.description} render={<div />}>
              {description}
            </Base.Description>
          )}
          <div className={styles.body}>{children}</div>
          {footer && <footer className={styles.footer}>{footer}</footer>}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

interface ConfirmProps extends Omit<DialogProps, "footer"> {
  confirmLabel: string;
  variant?: ButtonVariant;
  isBusy?: boolean;
  onConfirm: () => void;
}

/** Asks before something is done. */
export function ConfirmDialog(props: ConfirmProps) {
  const { confirmLabel, variant = "primary", isBusy = false, onConfirm, ...dialog } = props;
  return (
    <Dialog
      {...dialog}
      footer={
        <>
          <Button onClick={dialog.onClose}>Cancel</Button>
          <Button variant={variant} isBusy={isBusy} onClick={onConfirm}>
            {confirmLabel}
          </Button>
        </>
      }
    />
  );
}
