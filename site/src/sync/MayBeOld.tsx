import { Notice, sentenceOf } from "../ui/index.ts";

/** Says that what is shown could not be asked for again. */
export function MayBeOld({ error }: { error: unknown }) {
  if (!error) return null;
  return <Notice tone="warning">What you see may be old. {sentenceOf(error)}</Notice>;
}
