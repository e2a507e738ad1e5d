import { Field } from "@base-ui/react/field";
import { Search } from "lucide-react";
import {
  type ComponentProps,
  type ReactNode,
  useCallback,
  useEffect,
  useId,
  useRef,
  useState,
} from "react";
import { classes } from "./classes.ts";
import styles from "./field.module.css";

interface TextFieldProps
  extends Omit<ComponentProps<"input">, "onChange" | "value" | "defaultValue"> {
  label: string;
  value: string;
  onChange: (value: string) => void;
  description?: ReactNode;
  /** What is wrong with the value; read aloud with the field. */
  error?: string | undefined;
}

/** One line of text, with its label above and what is to be known below. */
export function TextField(props: TextFieldProps) {
  const { label, value, onChange, description, error, ...input } = props;
  return (
    <Field.Root className={styles.field} invalid={error !== undefined}>
      <Field.Label className={styles.label}>{label}</Field.Label>
      <Field.Control
        {...(input as ComponentProps<typeof Field.Control>)}
        value={value}
        onValueChange={(next) => onChange(String(next))}
        className={styles.control}
      />
      {description && (
        <Field.Description className={styles.description}>{description}</Field.Description>
      )}
      {error && (
        <Field.Error className={styles.error} match>
          {error}
        </Field.Error>
      )}
    </Field.Root>
  );
}

/** How long somebody pauses before what they typed is looked for. */
const PAUSE_MS = 250;

interface SearchFieldProps {
  label: string;
  value: string;
  placeholder?: string;
  /** Why nothing can be looked for with this text; read aloud with the field. */
  error?: string | undefined;
  /** Called when the typing pauses, not with each letter. */
  onSearch: (text: string) => void;
  /** Whether the key `/` leads here, from wherever nobody types. */
  hasShortcut?: boolean;
}

export function SearchField(props: SearchFieldProps) {
  const { label, value, placeholder, error, onSearch, hasShortcut = false } = props;
  const errorId = useId();
  const [text, setText] = useState(value);
  const told = useRef(value);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (!hasShortcut) return;
    const focus = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) || document.querySelector("[data-open]")) return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener("keydown", focus);
    return () => document.removeEventListener("keydown", focus);
  }, [hasShortcut]);

  // Somebody else changed it, such as the browser's back button. What was typed comes back without
  // the blanks around it, which may be the ones between two words.
  useEffect(() => {
    if (value === told.current || value === told.current.trim()) return;
    told.current = value;
    setText(value);
  }, [value]);

  const tell = useCallback(() => {
    if (text === told.current) return;
    told.current = text;
    onSearch(text);
  }, [text, onSearch]);

  useEffect(() => {
    if (text === told.current) return;
    const timer = setTimeout(tell, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, tell]);

  return (
    <div className={styles.search}>
      <Search size={16} aria-hidden className={styles.magnifier} />
      <input
        ref={input}
        type="search"
        aria-keyshortcuts={hasShortcut ? "/" : undefined}
        aria-label={label}
        placeholder={placeholder ?? label}
        value={text}
        onChange={(event) => setText(event.target.value)}
        // Whoever goes on to a link must not be called back by what they typed before.
        onBlur={tell}
        className={classes(styles.control, styles.searchInput)}
        data-invalid={error === undefined ? undefined : ""}
        aria-invalid={error !== undefined}
        aria-describedby={error === undefined ? undefined : errorId}
        autoComplete="off"
        spellCheck={false}
      />
      {hasShortcut && text === "" && (
        <kbd className={styles.shortcut} aria-hidden>
          /
        </kbd>
      )}
      {error && (
        <p id={errorId} role="alert" className={styles.error}>
          {error}
        </p>
      )}
    </div>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, [contenteditable]");
}
