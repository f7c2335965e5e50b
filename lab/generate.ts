/** Files that follow from the code: docs/errors.md and the JSON Schemas in lab/. `npm run docs` writes them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TSchema } from 'typebox';
import { CODES } from '../src/core/errors.ts';
import { reportSchema } from '../src/report/schema.ts';
import { PARTS } from '../src/evidence/parts.ts';
import { manifestSchema } from '../src/evidence/records.ts';
import { rigSchema } from '../src/rig/schema.ts';
import { editorSchema } from '../src/systems/registry.ts';

export function renderErrorsPage(): string {
  const rows = Object.entries(CODES).map(([code, { exit, meaning, remedy }]) => `| \`${code}\` | ${exit} | ${meaning} | ${remedy} |`);
  return `# Errors and exit statuses

Generated from \`src/core/errors.ts\` by \`npm run docs\`.

| exit status | meaning |
|---|---|
| 0 | every target met |
| 1 | a target was decided and missed |
| 2 | bad topology file or command line; nothing was changed |
| 3 | inconclusive: nothing missed, something not decided |
| 4 | the rig, the machine or netrig itself is broken |
| 130 | interrupted by Ctrl-C or SIGTERM; torn down, evidence kept |

| code | exit | meaning | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}

const render = (schema: object): string =>
  `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...schema }, null, 2)}\n`;
export const renderTopologySchema = async (): Promise<string> => render(await editorSchema());
export const renderRigSchema = (): string => render(rigSchema);
/** Every part of the evidence, by the name of its file. */
export function renderEvidenceSchema(): string {
  const parts = Object.entries<{ readonly version: number; readonly schema: TSchema }>(PARTS).map(
    ([name, { version, schema }]): [string, object] => [
      `${name}.json`,
      { type: 'object', required: ['schema', 'data'], properties: { schema: { const: `netrig-${name}-${version}` }, data: schema } },
    ],
  );
  return render({ description: 'Files of a results folder.', $defs: { 'run.json': manifestSchema, ...Object.fromEntries(parts) } });
}
export const renderReportSchema = (): string => render(reportSchema);

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  writeFileSync(join(root, 'docs/errors.md'), renderErrorsPage());
  writeFileSync(join(root, 'lab/topology.schema.json'), await renderTopologySchema());
  writeFileSync(join(root, 'lab/rig.schema.json'), renderRigSchema());
  writeFileSync(join(root, 'lab/evidence.schema.json'), renderEvidenceSchema());
  writeFileSync(join(root, 'lab/report.schema.json'), renderReportSchema());
}
