/** What the pages of systems draw most of their figures of: a phase of a cell's first repeat. */
import type { CellEvidence } from '../evidence/cell.ts';
import { describeEvent } from '../evidence/events.ts';
import type { EventRecord, PhaseRecord } from '../evidence/records.ts';
import type { Mark } from './charts.ts';
import type { JudgedRun } from './judge.ts';

/** Labels that a chart's width has room for; of those that come closer only the first is written. */
const MOST_LABELS = 20;

export interface Part {
  /** Cell, and phase where there are several. */
  readonly name: string;
  readonly evidence: CellEvidence;
  readonly phase: PhaseRecord;
  /** Number of the phase in its cell. */
  readonly index: number;
}

export const partsOf = ({ cells }: Pick<JudgedRun, 'cells'>): Part[] =>
  [...cells].flatMap(([cell, [evidence]]) =>
    evidence === undefined
      ? []
      : evidence.phases.map((phase, index, all): Part => {
          const name = [cell, all.length > 1 ? phase.phase : ''].filter(Boolean).join(' ') || evidence.lab.name;
          return { name, evidence, phase, index };
        }),
  );

/** Events of a part as vertical lines, with others that its system knows of. `shows`: which are worth a line. */
export function marksOf({ evidence, phase }: Part, shows: (event: EventRecord) => boolean, others: readonly Mark[] = []): Mark[] {
  const events = (evidence.events[phase.phase] ?? []).filter(shows).map((e) => ({ x: e.beganUs / 1e6, label: describeEvent(e) }));
  const apart = phase.durationUs / 1e6 / MOST_LABELS;
  const marks: Mark[] = [];
  for (const mark of [...others, ...events].sort((a, b) => a.x - b.x)) {
    const last = marks.at(-1);
    if (!last || mark.x - last.x > apart) marks.push(mark);
  }
  return marks;
}
