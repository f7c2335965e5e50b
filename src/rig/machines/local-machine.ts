/** This machine as a carrier of labs. On a machine of a rig the same code runs in src/rig/hostd. */
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { mapConcurrent } from '../../core/context.ts';
import { decodeResults, encodeStage } from '../labs/batch.ts';
import type { Engine } from '../images/docker/engine.ts';
import { runToEnd } from '../hosts/exec.ts';
import { NetrigError } from '../../core/errors.ts';
import { Journal, listLabs, readRecord, stateOf, type LabClaim, type LabRecord } from '../labs/journal.ts';
import type { ExecOptions, ExecResult, HostProcess, SpawnOptions } from '../hosts/host.ts';
import { LeaseBook, type Lease, type LeaseRequest } from '../leases/lease.ts';
import { LocalHost } from '../hosts/local.ts';
import type { ApplyResult, Machine, Runtime } from './machine.ts';
import { LAB_ENV, namespaceOf, namespaceOfStep } from '../labs/names.ts';
import { LOCAL } from '../labs/assignment.ts';
import type { Chains } from '../labs/steps.ts';
import { removeLab } from '../labs/teardown.ts';

/** Commands in flight: enough to hide their start-up, few enough for two cores. */
const JOBS = 4;
const STAGE_TIMEOUT_MS = 120_000;

export class LocalMachine extends LocalHost implements Machine {
  readonly name: string;
  readonly isHere = true;
  readonly runtime: Runtime;
  readonly lost: readonly string[] = [];
  /** Where somebody holds a lease, only he may do anything; without one, anybody may: a lab of one's own needs none. */
  readonly #leases: LeaseBook;
  /** It changes nothing that a lease protects. */
  readonly #looksOnly: boolean;
  #token: string | null = null;
  /** Its client is large: loaded where there are containers. */
  #loaded: Promise<Engine> | undefined;

  constructor(runtime: Runtime, options: { name?: string; looksOnly?: boolean } = {}) {
    super();
    this.name = options.name ?? LOCAL;
    this.runtime = runtime;
    this.#leases = new LeaseBook(runtime.stateRoot);
    this.#looksOnly = options.looksOnly ?? false;
  }

  override async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    this.#guard();
    if (options.container === undefined) return super.exec(argv, options);
    return runToEnd(options.container, (await this.#engine()).spawn(options.container, argv, options.env), argv, options);
  }

  override spawn(argv: readonly string[], options: SpawnOptions = {}): HostProcess {
    this.#guard();
    const { container } = options;
    return container === undefined
      ? super.spawn(argv, options)
      : deferred(this.#engine().then((engine) => engine.spawn(container, argv, options.env)));
  }

  override async put(path: string, content: string | Buffer): Promise<void> {
    this.#guard();
    return super.put(path, content);
  }

  async claim(claim: LabClaim): Promise<void> {
    this.#guard();
    Journal.create(claim);
  }

  async apply(lab: string, chains: Chains, signal?: AbortSignal): Promise<ApplyResult> {
    this.#guard();
    const journal = Journal.of(lab);
    for (const step of chains.flat()) journal.before(step, this.runtime.engine);
    const [own, plain] = [chains.filter(isContained), chains.filter((chain) => !isContained(chain))];
    const stopped = signal === undefined ? {} : { signal };
    await this.#applyInContainers(own, stopped);
    const input = encodeStage(plain, (host) => namespaceOfStep(lab, host));
    const { stdout, stderr, exitCode } =
      plain.length === 0
        ? NOTHING
        : await super.exec([join(this.runtime.nativeDir, 'nsrun'), String(JOBS)], {
            stdin: input,
            env: { [LAB_ENV]: lab },
            allowFailure: true,
            timeoutMs: STAGE_TIMEOUT_MS,
            ...stopped,
          });
    journal.after();
    return { failed: decodeResults(plain, stdout).find((r) => r.status !== 0) ?? null, error: exitCode === 0 ? null : stderr.trim() };
  }

  /** Containers are started, and their networks named, so that whatever is done to a node's network is done alike. */
  async #applyInContainers(chains: Chains, options: Pick<ExecOptions, 'signal'>): Promise<void> {
    if (chains.length === 0) return;
    const engine = await this.#engine();
    const names: string[] = [];
    await mapConcurrent(chains, JOBS, async (chain) => {
      for (const { container, inside, argv } of chain) {
        if (container) names.push(`netns attach ${namespaceOf(container.lab, container.hostname)} ${await engine.start(container)}`);
        else if (inside !== undefined) await runToEnd(inside, engine.spawn(inside, argv), argv, options);
      }
    });
    if (names.length > 0) await super.exec(['ip', '-batch', '-'], { stdin: `${names.join('\n')}\n` });
  }

  async #engine(): Promise<Engine> {
    this.#loaded ??= import('../images/docker/engine.ts').then(({ Engine }) => new Engine(this.runtime.engine));
    return this.#loaded;
  }

  async engineVersion(): Promise<string | null> {
    return (await this.#engine()).version();
  }

  async hasImage(image: string): Promise<boolean> {
    return (await this.#engine()).hasImage(image);
  }

  async importImage(image: string, tar: string): Promise<void> {
    this.#guard();
    await (await this.#engine()).importImage(image, tar);
  }

  async release(lab: string): Promise<void> {
    this.#guard();
    await removeLab(lab);
  }

  async acquire(request: LeaseRequest): Promise<string> {
    const busy = (await this.labs()).find(
      (r) => stateOf(r) === 'in use' && Object.keys(r.leases).length === 0 && r.owner.pid !== process.pid,
    );
    if (busy)
      throw new NetrigError('LEASE_HELD', `in use by lab "${busy.lab}" without a rig (process ${busy.owner.pid})`, {
        hint: '--wait 30m waits until it is done',
      });
    const { lease, expired } = this.#leases.acquire(request);
    this.#token = lease.token;
    if (expired) for (const lab of await this.labs()) if (Object.values(lab.leases).includes(expired.token)) await removeLab(lab.lab);
    return lease.token;
  }

  async resume(token: string): Promise<void> {
    this.#leases.check(token);
    this.#token = token;
  }

  async renew(ttlMs: number): Promise<void> {
    this.#leases.renew(this.#token ?? '', ttlMs);
  }

  async unlease({ revoke = false }: { revoke?: boolean } = {}): Promise<void> {
    if (revoke) this.#leases.revoke();
    else if (this.#token !== null) this.#leases.release(this.#token);
    this.#token = null;
  }

  async lease(): Promise<Lease | null> {
    return this.#leases.current();
  }

  #guard(): void {
    if (this.#looksOnly) return;
    if (this.#token !== null || (this.#leases.current()?.leftMs ?? 0) > 0) this.#leases.check(this.#token);
  }

  async labs(): Promise<LabRecord[]> {
    return listLabs().flatMap((lab) => readRecord(lab) ?? []);
  }

  async clockNs(): Promise<bigint> {
    return epochNs();
  }

  /** Bundles are run from where they are. */
  async install(bundle: string): Promise<string> {
    return bundle;
  }

  /** Written straight into the evidence folder: a crash loses nothing. */
  spool(evidencePath: string): string {
    return evidencePath;
  }

  async collect(): Promise<void> {
    /* it is there already */
  }
}

const NOTHING: ExecResult = { stdout: '', stderr: '', exitCode: 0 };
const isContained = (chain: Chains[number]): boolean => chain.some((step) => step.container !== undefined || step.inside !== undefined);

/** A process that something must be awaited for before it can start. */
function deferred(starting: Promise<HostProcess>): HostProcess {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const stdin = new PassThrough();
  void starting.then((child) => {
    stdin.pipe(child.stdin);
    child.stdout.pipe(stdout);
    child.stderr.pipe(stderr);
  });
  return {
    stdin,
    stdout,
    stderr,
    exited: starting.then((child) => child.exited),
    kill: (signal) => void starting.then((child) => child.kill(signal)),
    killGroup: (signal) => void starting.then((child) => child.killGroup(signal)),
  };
}

/** Microseconds are what performance.now() resolves. */
export const epochNs = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n;
