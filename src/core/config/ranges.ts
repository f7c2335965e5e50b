/** Ranges of names, as shells write them: `b{1..99}` is b1 to b99. Pure. */

const RANGE = /\{(\d{1,9})\.\.(\d{1,9})\}/g;
/** The whole text is names: no sentence, no command. */
const NAMES = /^[A-Za-z0-9_.:-]*(\{\d{1,9}\.\.\d{1,9}\}[A-Za-z0-9_.:-]*)+$/;
/** A topology of this size is a slip of the pen. */
const MAX_NAMES = 4096;

interface Ranges {
  readonly firsts: readonly number[];
  /** Names that the text stands for. */
  readonly length: number;
}

/** null: it holds no range. RangeError: its ranges differ in length, or stand for too many or for none. */
function rangesOf(text: string): Ranges | null {
  const ranges = [...text.matchAll(RANGE)].map(([, first, last]) => ({ first: Number(first), length: Number(last) - Number(first) + 1 }));
  const [length] = ranges.map((r) => r.length);
  if (length === undefined) return null;
  if (ranges.some((r) => r.length !== length)) throw new RangeError(`the ranges of "${text}" differ in length`);
  if (length < 1) throw new RangeError(`"${text}" ends before it begins`);
  if (length > MAX_NAMES) throw new RangeError(`"${text}" stands for ${length} names; at most ${MAX_NAMES}`);
  return { firsts: ranges.map((r) => r.first), length };
}

/** The text itself if it holds no range. Several ranges in one text count together; RangeError as in rangesOf. */
export function expandRange(text: string): string[] {
  const ranges = rangesOf(text);
  if (ranges === null) return [text];
  return Array.from({ length: ranges.length }, (_, i) => {
    let next = 0;
    return text.replace(RANGE, () => String((ranges.firsts[next++] ?? 0) + i));
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

/** Names that a text stands for, if names are what it is; a RangeError where it could not be expanded. */
export const countOf = (text: string): number => (NAMES.test(text) ? (rangesOf(text)?.length ?? 1) : 1);
