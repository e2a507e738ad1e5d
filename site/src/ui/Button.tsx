import { Link, type LinkProps } from "@tanstack/react-router";
import { LoaderCircle } from "lucide-react";
import type { ComponentProps, ReactNode } from "react";
import styles from "./Button.module.css";
import { classes } from "./classes.ts";

export type ButtonVariant = "primary" | "secondary" | "danger" | "plain";

interface Look {
  variant?: ButtonVariant;
  size?: "medium" | "small";
}

type ButtonProps = ComponentProps<"button"> & Look & { isBusy?: boolean };

export function buttonClass({ variant = "secondary", size = "medium" }: Look, more?: string) {
  return classes(styles.button, styles[variant], size === "small" && styles.small, more);
}

/** While busy it keeps its width and the focus, and cannot be pressed again. */
export function Button({ variant, size, isBusy, className, children, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      aria-busy={isBusy || undefined}
      aria-disabled={isBusy || rest["aria-disabled"]}
      onClick={isBusy ? undefined : rest.onClick}
      className={buttonClass({ ...(variant && { variant }), ...(size && { size }) }, className)}
    >
      {isBusy && <LoaderCircle aria-hidden className={styles.spinner} size={16} />}
      {children}
    </button>
  );
}

/** A button that shows an icon and nothing else; its label is read aloud, and shown by the browser. */
export function IconButton({ label, ...rest }: Omit<ButtonProps, "size"> & { label: string }) {
  return (
    <Button
      variant="plain"
      {...rest}
      aria-label={label}
      title={label}
      className={classes(styles.icon, rest.className)}
    />
  );
}

/** A link that looks like a button. */
export function ButtonLink({
  variant,
  size,
  children,
  ...link
}: Pick<LinkProps, "to" | "params" | "search"> & Look & { children: ReactNode }) {
  return (
    <Link
      {...(link as LinkProps)}
      className={buttonClass({ ...(variant && { variant }), ...(size && { size }) })}
    >
      {children}
    </Link>
  );
}
