/** Routes of a node's kernel, by who made them. */
import { spawn } from 'node:child_process';
import { Type } from 'typebox';
import { parsed } from '../../../src/core/lightjson.ts';
import { environment, run } from '../../lib/run.ts';

const kernelRoutes = Type.Array(Type.Object({ dst: Type.String() }));

/** Their prefixes, in the order of text. `protocol`: a name or a number of rtnetlink's. */
export const routesOf = async (protocol: string | number): Promise<string[]> =>
  parsed(kernelRoutes, (await run('ip', ['-json', '-4', 'route', 'show', 'proto', String(protocol)])) || '[]')
    .map(({ dst }) => (dst === 'default' ? '0.0.0.0/0' : dst.includes('/') ? dst : `${dst}/32`))
    .sort();

/** Routes with the protocol's number become these, all by one way: words of ip-route. A predecessor may have left others. */
export async function putRoutes(protocol: number, prefixes: readonly string[], way: string): Promise<void> {
  const lines = [
    ...(await routesOf(protocol)).filter((r) => !prefixes.includes(r)).map((r) => `route delete ${r} proto ${protocol}`),
    ...prefixes.map((r) => `route replace ${r} proto ${protocol} ${way}`),
  ];
  if (lines.length > 0) await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
}

/** Calls back whenever a route comes or goes. */
export function watchRoutes(onChange: () => void): { stop(): void } {
  const child = spawn('ip', ['-4', 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'ignore'], env: environment() });
  child.stdout.on('data', onChange);
  child.on('error', () => undefined);
  return { stop: () => child.kill() };
}
