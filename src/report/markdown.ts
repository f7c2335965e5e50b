/** Markdown for a merge request. */
import { describeDropped, NOTHING_JUDGED } from '../checks/wording.ts';
import type { JudgedRun } from './judge.ts';
import { shellQuoted } from '../core/shell.ts';
import { describeMachines } from './views.ts';

const MARKS = { pass: '✅', fail: '❌', inconclusive: '❔' } as const;
/** Text of users and programs, which may have what Markdown and HTML have a meaning for. */
const escape = (text: string): string =>
  text
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_{}[\]|~#!]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');

/** In a fence longer than any run of backticks that it holds (CommonMark 6.1). */
function code(text: string): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  return longest === 0 ? `${fence}${text}${fence}` : `${fence} ${text} ${fence}`;
}

export function renderMarkdown({ manifest, verdicts, outcome }: JudgedRun): string {
  const rows = verdicts.map(
    (v) =>
      `| ${MARKS[v.outcome]} | ${escape(v.cell || '–')} | ${escape(v.target)}${v.control ? ' (control)' : ''} | ${v.kind} | ${escape(v.measured)} | ${escape(v.wanted)} | ${escape(v.reason ?? '')} |`,
  );
  return `## ${MARKS[outcome]} ${escape(manifest.name)}: ${outcome}

${manifest.stopped === null ? '' : `**Stopped:** ${escape(manifest.stopped)}\n\n`}| | cell | target | kind | measured [95 %] | wanted | |
|---|---|---|---|---|---|---|
${rows.length === 0 ? NOTHING_JUDGED : rows.join('\n')}
${describeDropped(verdicts)
  .map((line) => `\nLeft out: ${escape(line)}`)
  .join('')}

${escape(describeMachines(manifest))}, ${manifest.repeat} repeat${manifest.repeat === 1 ? '' : 's'}, ${escape(manifest.startedAt)}. Reproduce: ${code(shellQuoted(manifest.command))}
`;
}
