/** Routes of a node's kernel, by who made them. */
import { spawn } from 'node:child_process';
import { Type } from 'typebox';
import { parsed } from '../../src/core/lightjson.ts';
import { environment, run } from './run.ts';

const kernelRoutes = Type.Array(Type.Object({ dst: Type.String() }));

/** Their prefixes, in the order of text. `protocol`: a name or a number of rtnetlink's. */
export const routesOf = async (protocol: string | number): Promise<string[]> =>
  parsed(kernelRoutes, (await run('ip', ['-json', '-4', 'route', 'show', 'proto', String(protocol)])) || '[]')
    .map(({ dst }) => (dst === 'default' ? '0.0.0.0/0' : dst.includes('/') ? dst : `${dst}/32`))
    .sort();

/** The kernel's routes with a number of rtnetlink's protocols, all by one way. */
export class KernelRoutes {
  readonly #protocol: number;
  #prefixes: readonly string[] = [];
  /** What was put last; '': the kernel may have lost it, or have others of a predecessor. */
  #put = '';

  constructor(protocol: number) {
    this.#protocol = protocol;
  }

  get prefixes(): readonly string[] {
    return this.#prefixes;
  }

  /** As the kernel has them. */
  installed(): Promise<string[]> {
    return routesOf(this.#protocol);
  }

  /** Their device has been made, or was down. */
  forget(): void {
    this.#put = '';
  }

  /** These, and no others. `way`: words of ip-route. */
  async put(prefixes: readonly string[], way: string): Promise<void> {
    const now = JSON.stringify([prefixes, way]);
    if (now === this.#put) return;
    const lines = [
      ...(await this.installed()).filter((r) => !prefixes.includes(r)).map((r) => `route delete ${r} proto ${this.#protocol}`),
      ...prefixes.map((r) => `route replace ${r} proto ${this.#protocol} ${way}`),
    ];
    if (lines.length > 0) await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
    [this.#prefixes, this.#put] = [prefixes, now];
  }
}

/** Calls back whenever a route comes or goes. */
export function watchRoutes(onChange: () => void): { stop(): void } {
  const child = spawn('ip', ['-4', 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'ignore'], env: environment() });
  child.stdout.on('data', onChange);
  child.on('error', () => undefined);
  return { stop: () => child.kill() };
}
