/** JUnit XML: a suite per cell, a case per target. */
import junit, { type Builder } from 'junit-report-builder';
import type { JudgedRun } from './judge.ts';

/** The package's types describe a default export inside the default export; at run time there is one. */
const builder = junit as unknown as Builder;

export function renderJUnit({ manifest, verdicts }: JudgedRun): string {
  const report = builder.newBuilder();
  for (const cell of manifest.cells) {
    const suite = report
      .testSuite()
      .name(cell ? `${manifest.name}.${cell}` : manifest.name)
      .timestamp(manifest.startedAt);
    for (const verdict of verdicts.filter((v) => v.cell === cell)) {
      const testCase = suite
        .testCase()
        .className(cell ? `${manifest.name}.${cell}` : manifest.name)
        .name(verdict.target);
      const text = `${verdict.measured}, wanted ${verdict.wanted}${verdict.reason ? `: ${verdict.reason}` : ''}`;
      const dropped = verdict.dropped.map((d) => `repeat ${d.repeat} left out: ${d.reason}`);
      testCase.standardOutput([`${verdict.kind}: ${text}`, ...dropped].join('\n'));
      if (verdict.outcome === 'fail') testCase.failure(text);
      if (verdict.outcome === 'inconclusive') testCase.skipped();
    }
    // A suite without cases is green.
    if (verdicts.length === 0) suite.testCase().className(manifest.name).name('targets').skipped();
    if (manifest.stopped !== null) suite.testCase().className(manifest.name).name('run').error(manifest.stopped);
  }
  return report.build();
}
