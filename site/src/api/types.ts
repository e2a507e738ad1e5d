// What the routes answer, as README.md describes them.

export const ROLES = ["STUDENT", "INSTRUCTOR", "ADMIN"] as const;
export type Role = (typeof ROLES)[number];

export const USER_STATES = ["active", "locked", "banned", "deprovisioned", "deleted"] as const;
export type UserState = (typeof USER_STATES)[number];

/** Whether Clerk was told the role: not yet, or never, since it refused. */
export const CLERK_SYNCS = ["synced", "pending", "dead"] as const;
export type ClerkSync = (typeof CLERK_SYNCS)[number];

export interface User {
  id: string;
  clerkId: string | null;
  email: string | null;
  firstName: string | null;
  lastName: string | null;
  name: string | null;
  username: string | null;
  imageUrl: string | null;
  role: Role;
  state: UserState;
  clerkSync: ClerkSync;
  isPlaceholder: boolean;
  builderGroupId: string | null;
  createdAt: string;
  updatedAt: string | null;
  lastSignInAt: string | null;
  confirmedAt: string | null;
}

export const USER_ORDERS = [
  "createdAt",
  "-createdAt",
  "name",
  "-name",
  "email",
  "-email",
  "-lastSignInAt",
] as const;
export type UserOrder = (typeof USER_ORDERS)[number];

export interface UserFilter {
  search?: string | undefined;
  role?: Role | undefined;
  organization?: string | undefined;
  state?: UserState | undefined;
  clerkSync?: ClerkSync | undefined;
  sort?: UserOrder | undefined;
}

export interface UserPage {
  users: User[];
  nextCursor: string | null;
  total: number;
}

export interface Membership {
  id: string;
  clerkId: string | null;
  organizationId: string;
  clerkOrgId: string;
  organizationName: string | null;
  userId: string;
  role: string;
  permissions: string[];
  isPlaceholder: boolean;
  createdAt: string;
  updatedAt: string | null;
  confirmedAt: string | null;
}

/** By which way a role changed. */
export type RoleChangeSource = "admin_panel" | "api" | "webhook" | "reconcile" | "migration";

export interface RoleChange {
  id: number;
  userId: string;
  userClerkId: string | null;
  /** The name, or else the address. */
  userName: string | null;
  oldRole: Role | null;
  newRole: Role;
  /** A Clerk user id, or `clerk`. */
  actor: string;
  actorName: string | null;
  source: RoleChangeSource;
  svixId: string | null;
  requestId: string | null;
  at: string;
}

export interface RoleChangesPage {
  roleChanges: RoleChange[];
  nextCursor: number | null;
}

export const OUTCOMES = ["applied", "stale", "ignored", "parked", "dead"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface EventOfUser {
  svixId: string;
  eventType: string;
  outcome: Outcome;
  rule: string | null;
  eventAt: string | null;
  receivedAt: string;
  appliedAt: string | null;
}

export interface UserDetail {
  user: User;
  memberships: Membership[];
  roleChanges: RoleChange[];
  events: EventOfUser[];
}

export interface Organization {
  id: string;
  clerkId: string;
  name: string | null;
  slug: string | null;
  imageUrl: string | null;
  nMembers: number;
  createdAt: string;
}

export interface RoleSet {
  success: true;
  user: User;
  clerkSync: ClerkSync;
}

/** What became of one user in a bulk change. */
export interface BulkResult {
  userId: string;
  ok: boolean;
  clerkSync?: ClerkSync;
  code?: string;
  error?: string;
}

export interface ProfileUpdate {
  firstName?: string | null;
  lastName?: string | null;
  name?: string | null;
  email?: string;
  builderGroupId?: string | null;
  password?: string;
}

export interface ProfileUpdated {
  success: true;
  user: User;
  databaseSync: "synced" | "pending";
}

export type EmailChangeState =
  | "requested"
  | "invited"
  | "moved"
  | "done"
  | "revoked"
  | "expired"
  | "failed";

export interface EmailChange {
  id: string;
  userId: string;
  email: string | null;
  state: EmailChangeState;
  reason?: string;
  lastError?: string;
  createdAt: string;
  expiresAt: string | null;
  movedAt: string | null;
  closedAt: string | null;
}

export interface Synced {
  success: true;
  user: User;
  source: "clerk" | "database" | "temporary";
  verified: boolean;
  isComplete: boolean;
}

export interface Statistics {
  totalUsers: number;
  adminCount: number;
  instructorCount: number;
  studentCount: number;
}

/** The counts as they were at the end of a day, in UTC; of today as they are now. */
export interface StatisticsDay extends Statistics {
  date: string;
}

export const DRIFT_CLASSES = [
  "stale_high",
  "orphaned",
  "missing",
  "stale",
  "unknown_role",
  "duplicate_email",
] as const;
export type DriftClass = (typeof DRIFT_CLASSES)[number];

export interface Overview {
  deliveries: {
    countsUpTo100000: {
      last24Hours: Record<Outcome, number>;
      allTime: Record<Outcome, number>;
    };
  };
  lagOfLast24Hours: {
    p50Ms: number | null;
    p95Ms: number | null;
    p99Ms: number | null;
    nEvents: number;
  };
  outbox: { depth: number; oldestAgeSeconds: number | null };
  dead: { events: number; rolePushes: number };
  parked: { events: number; oldestAgeSeconds: number | null };
  flagged: {
    users: number;
    organizations: number;
    memberships: number;
    walksOfUsers: number;
    walksOfOrganizations: number;
  };
  drift: {
    runId: string;
    finishedAt: string | null;
    open: number;
    byClass: Record<DriftClass, number>;
  } | null;
  lastRun: RunSummary | null;
  currentRun: RunSummary | null;
  outage: {
    lastEventAt: string | null;
    lastClerkChangeAt: string | null;
    isSilent: boolean;
    silentSince: string | null;
    oldestMissedAt: string | null;
    messageGivenUpAt: string | null;
    endpointDisabledAt: string | null;
  };
}

export const PERIODS = ["24h", "7d", "30d"] as const;
export type Period = (typeof PERIODS)[number];

export interface Activity {
  period: Period;
  bucketSeconds: number;
  buckets: ({ at: string } & Record<Outcome, number>)[];
}

/** A delivery. */
export interface Event extends EventOfUser {
  objectId: string | null;
  instanceId: string | null;
  nAttempts: number;
  lastError: string | null;
  isPayloadKept: boolean;
}

export interface EventPage {
  events: Event[];
  nextCursor: string | null;
}

export interface ExplainedEvent {
  event: Event;
  explanation: string;
  compared: {
    ourVersion: number | null;
    ourVersionAt: string | null;
    clerkVersion: number | null;
    clerkVersionAt: string | null;
    wasClerkRead: boolean;
  };
  changed: string[];
  roleChanges: RoleChange[];
  payload: { isKept: boolean; keys: string[] | null; canBeReplayed: boolean };
}

/** One thing that happened to a user, an organization or a membership. */
export type HistoryEntry = {
  at: string;
  summary: string;
  /** The names of what changed, or differed. */
  changed?: string[];
} & HistoryWhat;

export type HistoryWhat =
  | ({ kind: "delivery" } & Event)
  | ({ kind: "role_change" } & Pick<
      RoleChange,
      "oldRole" | "newRole" | "actor" | "source" | "svixId" | "requestId"
    >)
  | { kind: "profile_edit"; actor: string; outcome: string | null; closedAt: string | null }
  | { kind: "email_change"; actor: string; state: EmailChangeState; reason: string | null }
  | {
      kind: "push";
      state: "pending" | "delivered" | "superseded" | "dead";
      role: Role;
      nAttempts: number;
      lastError: string | null;
    }
  | { kind: "drift"; runId: string; class: DriftClass; object: string; state: DriftState };

export interface HistoryPage {
  history: HistoryEntry[];
  nextCursor: string | null;
}

export type ReplayTarget =
  | { svixIds: string[] }
  | {
      filter: {
        outcome?: "dead" | "parked";
        type?: string;
        object?: string;
        since?: string;
        until?: string;
      };
    };

export interface Replayed {
  dryRun: boolean;
  nWaiting: number;
  byOutcome: Partial<Record<Outcome, number>>;
  byType: Record<string, number>;
  nUnknown: number;
  nNotReplayable: number;
  nReplayed: number;
  outcomes: Partial<Record<Outcome, number>>;
  events: { svixId: string; outcome: Outcome }[];
  nRemaining: number;
  nextCursor: string | null;
}

export type RunMode = "report" | "repair";
export type RunState =
  | "listing"
  | "asking"
  | "comparing"
  | "repairing"
  | "waiting"
  | "done"
  | "failed"
  | "cancelled";

export interface Count {
  done: number;
  total: number;
}

export interface RunProgress {
  users: Count;
  organizations: Count;
  memberships: Count;
  asked: Count;
  compared: Count;
  repaired: Count;
  nCalls: number;
}

export interface RunSummary {
  id: string;
  mode: RunMode;
  state: RunState;
  createdAt: string;
  finishedAt: string | null;
  progress: RunProgress;
}

export const DRIFT_STATES = ["found", "withheld", "repaired", "gone", "failed"] as const;
export type DriftState = (typeof DRIFT_STATES)[number];

export interface Run extends RunSummary {
  /** A Clerk user id, `schedule` or `command`. */
  actor: string;
  approval: {
    classes: DriftClass[] | null;
    maxDeletions: number | null;
    maxDemotions: number | null;
    usualCount: number;
    usualPercent: number;
    isExplicit: boolean;
    isForeign: boolean;
  };
  listedAt: string | null;
  comparedAt: string | null;
  nextAttemptAt: string;
  nFailures: number;
  lastError: string | null;
  drift: Partial<Record<DriftClass, Partial<Record<DriftState, number>>>>;
}

export interface Drift {
  id: number;
  class: DriftClass;
  object: "user" | "organization" | "membership";
  clerkId: string | null;
  rowId: string | null;
  clerkOrgId: string | null;
  clerkUserId: string | null;
  severity: string;
  cause: string;
  since: string | null;
  ourVersion: number | null;
  clerkVersion: number | null;
  fields: { name: string; ours: unknown; clerk: unknown }[];
  action: "create" | "update" | "demote" | "end" | "none";
  state: DriftState;
  lastError: string | null;
  foundAt: string;
  repairedAt: string | null;
}

export interface DriftPage {
  drift: Drift[];
  nextCursor: string | null;
}

/** What a repair may do: an approval is itself a ceiling. */
export interface RepairWish {
  classes?: DriftClass[];
  maxDeletions?: number;
  maxDemotions?: number;
}

/** Numbers by action and kind, such as `end user`. */
export interface RepairPlan {
  dryRun: true;
  planned: Record<string, number>;
  withheld: Record<string, number>;
}
