import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import { eventQuery } from "../api/queries.ts";
import type { ExplainedEvent } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Button, ErrorState, Page, Panel, Skeleton } from "../ui/index.ts";
import { OutcomeBadge } from "./badges.tsx";
import { Changed, Compared, Delivery, Payload } from "./EventDetail.tsx";
import styles from "./EventPage.module.css";
import { Back } from "./links.tsx";
import { ReplayDialog } from "./ReplayDialog.tsx";
import { ruleMeaning } from "./words.ts";

const route = getRouteApi("/admin/sync/events/$svixId");

export default function EventPage() {
  const { svixId } = route.useParams();
  const { data, error, refetch } = useQuery(eventQuery(useApi(), svixId));
  const [isReplaying, setIsReplaying] = useState(false);

  return (
    <Page
      title={data?.event.eventType ?? "Event"}
      back={<Back to="/admin/sync/events">All events</Back>}
      description={<code>{svixId}</code>}
      actions={
        data?.payload.canBeReplayed && (
          <Button variant="primary" onClick={() => setIsReplaying(true)}>
            Replay
          </Button>
        )
      }
    >
      {data && <Explained explained={data} />}
      {!data && error && <ErrorState error={error} onRetry={() => void refetch()} />}
      {!data && !error && <Skeleton nLines={3} height={140} />}
      <ReplayDialog
        target={{ svixIds: [svixId] }}
        isOpen={isReplaying}
        onClose={() => setIsReplaying(false)}
      />
    </Page>
  );
}

function Explained({ explained }: { explained: ExplainedEvent }) {
  const { event, explanation, compared, payload } = explained;
  return (
    <>
      <section className={styles.why} aria-label="Why">
        <OutcomeBadge outcome={event.outcome} />
        <p className={styles.sentence}>{explanation}</p>
        {event.rule && (
          <p className={styles.rule}>
            <strong>{event.rule}</strong> {ruleMeaning(event.rule)}
          </p>
        )}
        {event.lastError && (
          <p className={styles.error}>
            What went wrong last: <code>{event.lastError}</code>
          </p>
        )}
      </section>
      <div className={styles.columns}>
        <Panel title="Delivery">
          <Delivery event={event} />
        </Panel>
        <div className={styles.column}>
          <Panel title="What was compared">
            <Compared compared={compared} />
          </Panel>
          <Panel title="What changed">
            <Changed explained={explained} />
          </Panel>
          <Panel title="Body">
            <Payload payload={payload} />
          </Panel>
        </div>
      </div>
    </>
  );
}
