import type { Drift, DriftClass } from "../api/types.ts";
import styles from "./FieldTable.module.css";
import { Value } from "./Value.tsx";
import { capital, fieldWords } from "./words.ts";

interface Field {
  name: string;
  ours: unknown;
  clerk: unknown;
}

/** What is here and what Clerk has, field by field, side by side; on a phone one below the other. */
export function FieldTable({ difference }: { difference: Drift }) {
  return (
    <table className={styles.table}>
      <caption className="visually-hidden">Both sides</caption>
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">Here</th>
          <th scope="col">In Clerk</th>
        </tr>
      </thead>
      <tbody>
        {fieldsOf(difference).map((field) => (
          <tr key={field.name}>
            <th scope="row">{fieldWords(field.name)}</th>
            <td data-side="Here">
              <Value field={field.name} value={field.ours} other={field.clerk} />
            </td>
            <td data-side="In Clerk">
              <Value field={field.name} value={field.clerk} other={field.ours} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Of what lives on one side only, that is what differs. */
const ONE_SIDED: Partial<Record<DriftClass, { ours: string; clerk: string }>> = {
  missing: { ours: "not here", clerk: "there" },
  orphaned: { ours: "here", clerk: "not there" },
};

function fieldsOf(difference: Drift): Field[] {
  if (difference.fields.length > 0) return versionLast(difference.fields);
  const sides = ONE_SIDED[difference.class] ?? { ours: "as shown", clerk: "otherwise" };
  return [{ name: capital(difference.object), ...sides }];
}

/** It always differs with something else, which says more. */
function versionLast(fields: Field[]): Field[] {
  const isVersion = ({ name }: Field) => name === "clerkVersion";
  return [...fields.filter((it) => !isVersion(it)), ...fields.filter(isVersion)];
}
