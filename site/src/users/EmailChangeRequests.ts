// What can be done about a change of address.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { usersChanged } from "../api/queries.ts";
import type { EmailChange } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { tell } from "../ui/index.ts";

interface Answer {
  success: true;
  emailChange: EmailChange;
}

/** Invites a new address. */
export function useInvite(userId: string) {
  const api = useApi();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (email: string) => api.post<Answer>(`/api/users/${userId}/email-change`, { email }),
    onSuccess: ({ emailChange }) =>
      tell(`${emailChange.email} is invited`, "The user's page shows what becomes of it."),
    onSettled: () => {
      void usersChanged(client);
    },
  });
}

/** Takes the invitation of a new address back. */
export function useTakeBack(userId: string) {
  const api = useApi();
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => api.delete<Answer>(`/api/users/${userId}/email-change`),
    onSuccess: () => tell("The invitation is taken back", "Nobody can follow it any more."),
    onSettled: () => {
      void usersChanged(client);
    },
  });
}
