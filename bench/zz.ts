import { readCell } from '../src/evidence/cell.ts';
import { groupSeries, windowRates } from '../src/checks/series.ts';
const [R, cell, at, ph, group] = process.argv.slice(2) as string[];
const e = await readCell(`${R}/cells/${cell}/r1`, 1);
const p = e.phases.find((x) => x.phase === ph)!;
const s = groupSeries(e, at!, 'tenant', p)!;
console.log(cell, ph, group, windowRates(s.bytes.get(group!)!, s.binUs, 100000, 0, p.durationUs).map((r) => (r / 6e5).toFixed(1)).join(' '));
