/** A host reached through another one: every command gets a prefix (a namespace to enter) and marks in its environment. */
import { commandFailure, type ExecOptions, type ExecResult, type Host, type HostProcess, type SpawnOptions } from './host.ts';

export interface Scope {
  readonly label: string;
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** In this container of the host's engine. */
  readonly container?: string;
}

export class ScopedHost implements Host {
  readonly label: string;
  readonly #through: Host;
  readonly #prefix: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #where: Pick<SpawnOptions, 'container'>;

  constructor(through: Host, { label, prefix = [], env = {}, container }: Scope) {
    this.label = label;
    this.#through = through;
    this.#prefix = prefix;
    this.#env = env;
    this.#where = container === undefined ? {} : { container };
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const result = await this.#through.exec([...this.#prefix, ...argv], {
      ...options,
      ...this.#where,
      env: { ...this.#env, ...options.env },
      allowFailure: true,
    });
    if (result.exitCode !== 0 && !options.allowFailure) throw commandFailure(this.label, argv, result);
    return result;
  }

  spawn(argv: readonly string[], options: SpawnOptions = {}): HostProcess {
    return this.#through.spawn([...this.#prefix, ...argv], { ...this.#where, env: { ...this.#env, ...options.env } });
  }

  put(path: string, content: string | Buffer): Promise<void> {
    return this.#through.put(path, content);
  }

  get(path: string): Promise<Buffer> {
    return this.#through.get(path);
  }

  async dispose(): Promise<void> {
    /* what it goes through is somebody else's */
  }
}
