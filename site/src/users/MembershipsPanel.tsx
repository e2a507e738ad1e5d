import { Link } from "@tanstack/react-router";
import type { Membership } from "../api/types.ts";
import { Badge, Panel, Time } from "../ui/index.ts";
import styles from "./MembershipsPanel.module.css";

/** The organizations of a user, with the roles that Clerk gives them there. */
export function MembershipsPanel({ memberships }: { memberships: Membership[] }) {
  return (
    <Panel title="Organizations">
      {memberships.length === 0 ? (
        <p className={styles.quiet}>This user is in no organization.</p>
      ) : (
        <ul className={styles.list}>
          {memberships.map((membership) => (
            <MembershipEntry key={membership.id} membership={membership} />
          ))}
        </ul>
      )}
    </Panel>
  );
}

function MembershipEntry({ membership }: { membership: Membership }) {
  const { clerkOrgId, organizationName, role, isPlaceholder, createdAt } = membership;
  return (
    <li className={styles.membership}>
      <div className={styles.names}>
        <Link to="/admin/users" search={{ organization: clerkOrgId }} className={styles.name}>
          {organizationName ?? clerkOrgId}
        </Link>
        <span className={styles.quiet}>
          Member since <Time at={createdAt} />
        </span>
      </div>
      <div className={styles.badges}>
        {isPlaceholder && (
          <Badge tone="warning" title="Made while Clerk could not be asked.">
            Provisional
          </Badge>
        )}
        <Badge title={`The role in this organization: ${role}`}>{role.replace(/^org:/, "")}</Badge>
      </div>
    </li>
  );
}
