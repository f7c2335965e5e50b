/** What a node lets through, by nftables: a table of the agent's own, removed with it. */
import { run } from './run.ts';

const TABLE = 'inet netrig-agent';

/** Rules of the chains of packets that come in, and of those that are passed on. */
export interface Rules {
  readonly input: readonly string[];
  readonly forward: readonly string[];
}

export function filterText(rules: readonly Rules[]): string {
  const chain = (hook: keyof Rules): string =>
    `  chain ${hook} {\n    type filter hook ${hook} priority 0;\n${rules
      .flatMap((r) => r[hook])
      .map((rule) => `    ${rule}\n`)
      .join('')}  }\n`;
  // Made, so that it can be removed: one of an agent that died may be there.
  return `table ${TABLE} {}\ndelete table ${TABLE}\ntable ${TABLE} {\n${chain('input')}${chain('forward')}}\n`;
}

export async function startFilter(rules: readonly Rules[]): Promise<{ stop(): Promise<void> }> {
  await run('nft', ['-f', '-'], filterText(rules));
  return {
    stop: async () => {
      await run('nft', ['delete', 'table', ...TABLE.split(' ')]).catch(() => undefined);
    },
  };
}
