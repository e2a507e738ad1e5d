import { Combobox } from "@base-ui/react/combobox";
import { useQuery } from "@tanstack/react-query";
import { Check, ChevronsUpDown } from "lucide-react";
import { useEffect, useState } from "react";
import { organizationsQuery } from "../api/queries.ts";
import type { Organization } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import field from "../ui/field.module.css";
import { classes, countOf, sentenceOf } from "../ui/index.ts";
import popup from "../ui/popup.module.css";
import styles from "./OrganizationPicker.module.css";

const PAUSE_MS = 200;
const NONE: Organization[] = [];

export interface OrganizationPickerProps {
  /** The Clerk id of the organization. */
  value: string | undefined;
  onChange: (clerkId: string | undefined) => void;
  /** Somebody asked for it just now. */
  isOpenAtOnce: boolean;
}

/** An organization that is looked for by its name. */
export function OrganizationPicker({ value, onChange, isOpenAtOnce }: OrganizationPickerProps) {
  const api = useApi();
  const [isOpen, setIsOpen] = useState(isOpenAtOnce);
  const [text, setText] = useState("");
  const search = useSettled(text);
  const found = useQuery({ ...organizationsQuery(api, search), enabled: isOpen });
  const chosen = useChosen(value);
  const organizations = found.data?.organizations ?? NONE;
  const name = value && (chosen ? labelOf(chosen) : value);

  return (
    <Combobox.Root<Organization>
      items={organizations}
      filter={null}
      value={chosen ?? null}
      onValueChange={(organization) => onChange(organization?.clerkId)}
      inputValue={text}
      onInputValueChange={setText}
      open={isOpen}
      onOpenChange={setIsOpen}
      itemToStringLabel={labelOf}
      isItemEqualToValue={(item, value) => item.id === value.id}
      autoHighlight
    >
      <Combobox.Trigger
        aria-label={`Organization: ${name ?? "any"}`}
        className={classes(field.control, field.select, styles.trigger)}
      >
        <span className={styles.value}>{name ?? "Any organization"}</span>
        <span className={field.chevron}>
          <ChevronsUpDown size={14} aria-hidden />
        </span>
      </Combobox.Trigger>
      <Combobox.Portal>
        <Combobox.Positioner className={popup.positioner} sideOffset={4} align="start">
          <Combobox.Popup className={classes(popup.popup, styles.popup)} aria-label="Organizations">
            <Combobox.Input
              placeholder="Find an organization"
              aria-label="Find an organization"
              className={field.control}
            />
            {value && (
              <button
                type="button"
                className={classes(popup.item, styles.any)}
                onClick={() => {
                  onChange(undefined);
                  setIsOpen(false);
                }}
              >
                Any organization
              </button>
            )}
            <Combobox.Status className={popup.empty}>
              {statusOf(found, organizations.length)}
            </Combobox.Status>
            <Combobox.List className={styles.list}>
              {(organization: Organization) => (
                <Combobox.Item
                  key={organization.id}
                  value={organization}
                  className={classes(popup.item, styles.item)}
                >
                  <span className={popup.check}>
                    <Combobox.ItemIndicator>
                      <Check size={14} aria-hidden />
                    </Combobox.ItemIndicator>
                  </span>
                  <span className={styles.name}>{labelOf(organization)}</span>
                  <span className={styles.members}>{countOf(organization.nMembers, "member")}</span>
                </Combobox.Item>
              )}
            </Combobox.List>
          </Combobox.Popup>
        </Combobox.Positioner>
      </Combobox.Portal>
    </Combobox.Root>
  );
}

function labelOf(organization: Organization): string {
  return organization.name ?? organization.slug ?? organization.clerkId;
}

function statusOf(found: { isPending: boolean; error: unknown }, nFound: number) {
  if (found.error) return sentenceOf(found.error);
  if (found.isPending) return "Looking…";
  return nFound === 0 ? "No organization is called like this." : null;
}

/** The organization that the address names, by its id alone. */
function useChosen(clerkId: string | undefined): Organization | undefined {
  const api = useApi();
  const query = useQuery({
    ...organizationsQuery(api, clerkId ?? ""),
    enabled: clerkId !== undefined,
    placeholderData: () => undefined,
    staleTime: 60_000,
  });
  return query.data?.organizations.find((it) => it.clerkId === clerkId);
}

/** What was typed, once the typing pauses. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
