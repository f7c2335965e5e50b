/** Verdicts to files: the only entry of src/report. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Verdict } from '../checks/verdict.ts';
import type { VNode } from 'preact';
import { importModule } from '../core/bundled.ts';
import { writeJson } from '../evidence/parts.ts';
import { findSystem, systemsOfChecks } from '../systems/registry.ts';
import { renderHtml } from './html.ts';
import { evaluateRun, undecidedCells, type JudgedRun } from './judge.ts';
import { renderJUnit } from './junit.ts';
import { renderMarkdown } from './markdown.ts';
import type { ReportPage } from './page.ts';

export { evaluateRun, renderJUnit, undecidedCells, type JudgedRun };

/** Writes report.html, report.json, report.md and returns the path of the first. */
export async function writeReports(results: string, judged: JudgedRun): Promise<string> {
  const html = join(results, 'report.html');
  await Promise.all([
    writeFile(html, await renderHtml(judged, await systemSections(judged))),
    writeFile(join(results, 'report.md'), renderMarkdown(judged)),
    writeJson(join(results, 'report.json'), {
      schema: 'netrig-report-1',
      name: judged.manifest.name,
      outcome: judged.outcome,
      stopped: judged.manifest.stopped,
      startedAt: judged.manifest.startedAt,
      endedAt: judged.manifest.endedAt,
      verdicts: judged.verdicts.map(finite),
    }),
  ]);
  return html;
}

/** What the systems of the run have to show, and those whose checks judge it. */
async function systemSections(run: JudgedRun): Promise<VNode[]> {
  const labs = [...run.cells.values()].flat().map((evidence) => evidence.lab);
  const names = new Set([
    ...labs.flatMap((lab) => lab.systems.map((s) => s.name)),
    ...(await systemsOfChecks(labs.flatMap((lab) => lab.targets.map((t) => t.check)))),
  ]);
  const sections: VNode[] = [];
  for (const name of names) {
    const url = (await findSystem(name))?.page;
    if (!url) continue;
    const { page } = (await importModule(url)) as { page: ReportPage };
    sections.push(...(await page.sections(run)));
  }
  return sections;
}

/** JSON has no infinity: an open end of an interval is null. */
function finite(verdict: Verdict): unknown {
  if (!verdict.estimate) return verdict;
  const bounded = (value: number) => (Number.isFinite(value) ? value : null);
  const { value, low, high, n } = verdict.estimate;
  return { ...verdict, estimate: { value: bounded(value), low: bounded(low), high: bounded(high), n } };
}
