/** Ranges of names, as shells write them: `b{1..99}` is b1 to b99. Pure. */

const RANGE = /\{(\d+)\.\.(\d+)\}/;
/** A topology of this size is a slip of the pen. */
const MAX_NAMES = 4096;

/** The text itself if it holds no range. Several ranges in one text count together; RangeError if their lengths differ. */
export function expandRange(text: string): string[] {
  const ranges = [...text.matchAll(new RegExp(RANGE, 'g'))].map(([, first, last]) => ({ first: Number(first), last: Number(last) }));
  const lengths = ranges.map((r) => r.last - r.first + 1);
  const length = lengths[0];
  if (length === undefined) return [text];
  if (lengths.some((l) => l !== length)) throw new RangeError(`the ranges of "${text}" differ in length`);
  if (length < 1 || length > MAX_NAMES) throw new RangeError(`"${text}" stands for ${length} names`);
  return Array.from({ length }, (_, i) => {
    let next = 0;
    return text.replace(new RegExp(RANGE, 'g'), () => String((ranges[next++]?.first ?? 0) + i));
  });
}

export const expandAll = (names: string | readonly string[]): string[] =>
  (typeof names === 'string' ? [names] : names).flatMap(expandRange);

/** Several texts expanded side by side: those without a range are repeated. */
export function expandTogether(texts: readonly string[]): string[][] {
  const expanded = texts.map(expandRange);
  const length = Math.max(...expanded.map((list) => list.length));
  if (expanded.some((list) => list.length !== 1 && list.length !== length))
    throw new RangeError(`the ranges of ${texts.map((t) => `"${t}"`).join(' and ')} differ in length`);
  return Array.from({ length }, (_, i) => expanded.map((list) => list[list.length === 1 ? 0 : i] as string));
}
