import type { User } from "../api/types.ts";
import { TextField } from "../ui/index.ts";
import styles from "./EditUserDialog.module.css";
import { type Field, LABELS, type Problems, type Values } from "./EditUserValues.ts";

interface EditUserFieldsProps {
  user: User;
  values: Values;
  problems: Problems["fields"];
  onChange: (change: Partial<Values>) => void;
}

export function EditUserFields({ user, values, problems, onChange }: EditUserFieldsProps) {
  const hasAccount = user.clerkId !== null;
  const field = (name: Field) => ({
    label: LABELS[name],
    value: values[name],
    error: problems[name],
    onChange: (value: string) => onChange({ [name]: value }),
  });
  // Whoever edits others is not to be offered what the browser knows of themself.
  return (
    <>
      <div className={styles.names}>
        <TextField {...field("firstName")} autoComplete="off" />
        <TextField {...field("lastName")} autoComplete="off" />
      </div>
      <TextField
        {...field("email")}
        type="email"
        autoComplete="off"
        description={
          hasAccount && "Clerk verifies addresses, so a new one is invited before it counts."
        }
      />
      <TextField
        {...field("builderGroupId")}
        autoComplete="off"
        description="Kept in the database; Clerk does not know it."
      />
      {hasAccount ? (
        <TextField
          {...field("password")}
          type="password"
          autoComplete="new-password"
          description="Leave it empty to keep the one that there is. It goes to Clerk and nowhere else."
        />
      ) : (
        <p className={styles.aside}>
          There is no password to set: this user has no Clerk account. They choose one when they
          sign up.
        </p>
      )}
    </>
  );
}
