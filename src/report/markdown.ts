/** Markdown for a merge request. */
import { describeDropped } from '../checks/wording.ts';
import type { JudgedRun } from './judge.ts';
import { describeMachines } from './views.ts';

const MARKS = { pass: '✅', fail: '❌', inconclusive: '❔' } as const;
const escape = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;');

export function renderMarkdown({ manifest, verdicts, outcome }: JudgedRun): string {
  const rows = verdicts.map(
    (v) =>
      `| ${MARKS[v.outcome]} | ${escape(v.cell || '–')} | ${escape(v.target)}${v.control ? ' (control)' : ''} | ${v.kind} | ${escape(v.measured)} | ${escape(v.wanted)} | ${escape(v.reason ?? '')} |`,
  );
  return `## ${MARKS[outcome]} ${escape(manifest.name)}: ${outcome}

${manifest.stopped === null ? '' : `**Stopped:** ${escape(manifest.stopped)}\n\n`}| | cell | target | kind | measured [95 %] | wanted | |
|---|---|---|---|---|---|---|
${rows.join('\n')}
${describeDropped(verdicts)
  .map((line) => `\nLeft out: ${escape(line)}`)
  .join('')}

${describeMachines(manifest)}, ${manifest.repeat} repeat${manifest.repeat === 1 ? '' : 's'}, ${manifest.startedAt}. Reproduce: \`${manifest.command.join(' ')}\`
`;
}
