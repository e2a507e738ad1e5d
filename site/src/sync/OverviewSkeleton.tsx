import { Skeleton, Tiles } from "../ui/index.ts";

const TILES = ["lag", "owed", "dead", "parked", "flagged", "open", "last", "delivery"];

/** As tall as what comes. */
export function OverviewSkeleton() {
  return (
    <>
      <Skeleton nLines={1} height={90} />
      <Tiles>
        {TILES.map((tile) => (
          <Skeleton key={tile} nLines={1} height={104} />
        ))}
      </Tiles>
      <Skeleton nLines={1} height={420} />
    </>
  );
}
