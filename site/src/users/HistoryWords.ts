// By which way something came, in words.

import type { RoleChangeSource } from "../api/types.ts";

export const WAYS: Record<RoleChangeSource, string> = {
  admin_panel: "in the admin panel",
  api: "through the API",
  webhook: "through its webhook",
  reconcile: "when it was asked",
  migration: "by a migration",
};
