// How numbers and texts become parts of a sentence.

/** `1 user`, `1,234 users`. */
export function countOf(n: number, singular: string, plural = `${singular}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? singular : plural}`;
}

/** What the server says, as a sentence among others: not all of it ends like one. */
export function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
