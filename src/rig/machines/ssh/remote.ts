/** A machine of a rig, over SSH: one connection, one hostd, reconnected when it breaks. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sleep } from '../../../core/context.ts';
import { NetrigError } from '../../../core/errors.ts';
import { shortHash } from '../../../core/hash.ts';
import type { ExecOptions, ExecResult, HostProcess, SpawnOptions } from '../../hosts/host.ts';
import type { Answer, Method } from '../hostd/protocol.ts';
import type { LabClaim, LabRecord } from '../../labs/journal.ts';
import type { Lease, LeaseRequest } from '../../leases/lease.ts';
import type { ApplyResult, Machine, Runtime } from '../machine.ts';
import type { Chains } from '../../labs/steps.ts';
import { runToEnd } from '../../hosts/exec.ts';
import { bundlePath } from './runtime.ts';
import type { Session } from './session.ts';

/** Attempts to get back to a machine that was lost, and what is between them. */
const ATTEMPTS = 3;
const BACKOFF_MS = 1000;
const AGAIN_TIMEOUT_MS = 12_000;
/** Before a machine that could not be reached is tried again. */
const RETRY_AFTER_MS = 60_000;
/** Below a folder that only root may write: under a name that others know, a link of theirs could wait elsewhere. */
const SPOOL = '/var/lib/netrig/spool';

type Open = (timeoutMs?: number) => Promise<Link>;

export interface Link {
  readonly session: Session;
  readonly runtimeDir: string;
  close(): void;
}

export class RemoteMachine implements Machine {
  readonly name: string;
  readonly isHere = false;
  readonly label: string;
  readonly runtime: Runtime;
  readonly lost: string[] = [];
  readonly #open: Open;
  #link: Promise<Link>;
  #current: Link;
  #token: string | null = null;
  #closing = false;
  /** Somebody else leases the machine. */
  #fenced: NetrigError | null = null;
  #failedMs = -Infinity;
  /** Bundles that are there, by path here. */
  readonly #installed = new Map<string, Promise<string>>();

  private constructor(name: string, stateRoot: string, engine: string, open: Open, first: Link) {
    this.name = name;
    this.label = name;
    this.#open = open;
    this.#link = Promise.resolve(first);
    this.#current = first;
    this.runtime = { node: `${first.runtimeDir}/node`, nativeDir: first.runtimeDir, stateRoot, engine, mounts: ['/var/lib/netrig'] };
    this.#watch(first);
  }

  static async connect(name: string, stateRoot: string, engine: string, open: Open): Promise<RemoteMachine> {
    return new RemoteMachine(name, stateRoot, engine, open, await open());
  }

  #watch(link: Link): void {
    void link.session.ended.then((why) => {
      link.close();
      if (this.#closing) return;
      this.lost.push(`${new Date().toISOString()}: ${why}`);
      this.#link = this.#reconnect();
      // Whoever asks next is told; nobody may.
      this.#link.catch(() => undefined);
    });
  }

  async #reconnect(): Promise<Link> {
    for (let attempt = 1; ; attempt++) {
      let link: Link | undefined;
      try {
        link = await this.#open(AGAIN_TIMEOUT_MS);
        if (this.#token !== null) await link.session.call('resume', this.#token);
        this.#current = link;
        this.#watch(link);
        return link;
      } catch (error) {
        link?.session.close();
        link?.close();
        // The machine is somebody else's by now: there is nothing to come back to.
        if (error instanceof NetrigError && error.code === 'LEASE_LOST') throw (this.#fenced = error);
        this.#failedMs = performance.now();
        if (attempt === ATTEMPTS || this.#closing)
          throw new NetrigError('HOST_LOST', `${this.label} cannot be reached again: ${(error as Error).message}`, {
            cause: error,
            hint: 'netrig destroy cleans up once it can be reached',
          });
        await sleep(BACKOFF_MS * attempt);
      }
    }
  }

  /** After a failed attempt the next call tries again. */
  async #session(): Promise<Session> {
    const link = await this.#link.catch(async (error: unknown) => {
      if (this.#fenced) throw this.#fenced;
      if (this.#closing) throw new NetrigError('HOST_LOST', `${this.label}: the connection was closed`);
      // Many ask at once: one of them tries, and not all the time.
      if (performance.now() - this.#failedMs < RETRY_AFTER_MS) throw error;
      return (this.#link = this.#reconnect());
    });
    return link.session;
  }

  async #call<M extends Method>(method: M, ...params: unknown[]): Promise<Answer<M>> {
    return (await this.#session()).call(method, ...params);
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const session = await this.#session();
    return runToEnd(this.label, session.spawn(argv, options), argv, options);
  }

  /** On the connection as it is: a command that finds none has been lost at once. */
  spawn(argv: readonly string[], options: SpawnOptions = {}): HostProcess {
    return this.#current.session.spawn(argv, options);
  }

  async put(path: string, content: string | Buffer): Promise<void> {
    await (await this.#session()).put(path, Buffer.from(content));
  }

  async get(path: string): Promise<Buffer> {
    return (await this.#session()).get(path);
  }

  async claim(claim: LabClaim): Promise<void> {
    await this.#call('claim', claim);
  }

  async apply(lab: string, chains: Chains, signal?: AbortSignal): Promise<ApplyResult> {
    return (await this.#session()).callUntil(signal, 'apply', lab, chains);
  }

  async release(lab: string): Promise<void> {
    // Whoever holds the lease has the machine to itself: nobody else spools.
    await this.exec(['rm', '-rf', SPOOL], { allowFailure: true });
    await this.#call('release', lab);
  }

  labs(): Promise<readonly LabRecord[]> {
    return this.#call('labs');
  }

  engineVersion(): Promise<string | null> {
    return this.#call('engineVersion');
  }

  hasImage(image: string): Promise<boolean> {
    return this.#call('hasImage', image);
  }

  async importImage(image: string, tar: string): Promise<void> {
    await this.#call('importImage', image, tar);
  }

  async clockNs(): Promise<bigint> {
    return BigInt(await this.#call('clockNs'));
  }

  async acquire(request: LeaseRequest): Promise<string> {
    return (this.#token = await this.#call('acquire', request));
  }

  async resume(token: string): Promise<void> {
    await this.#call('resume', token);
    this.#token = token;
  }

  async renew(ttlMs: number): Promise<void> {
    await this.#call('renew', ttlMs);
  }

  async unlease(options: { revoke?: boolean } = {}): Promise<void> {
    this.#token = null;
    await this.#call('unlease', options);
  }

  lease(): Promise<Lease | null> {
    return this.#call('lease');
  }

  install(bundle: string): Promise<string> {
    let installed = this.#installed.get(bundle);
    if (!installed) this.#installed.set(bundle, (installed = this.#install(bundle)));
    return installed;
  }

  async #install(bundle: string): Promise<string> {
    const content = await readFile(bundle);
    const path = bundlePath(content);
    const { exitCode } = await this.exec(['test', '-f', path], { allowFailure: true });
    if (exitCode !== 0) await this.put(path, content);
    return path;
  }

  spool(evidencePath: string): string {
    return `${SPOOL}/${shortHash(evidencePath)}`;
  }

  async collect(spooled: string, evidencePath: string): Promise<void> {
    await mkdir(dirname(evidencePath), { recursive: true });
    await writeFile(evidencePath, await this.get(spooled));
    await this.exec(['rm', '-f', spooled], { allowFailure: true });
  }

  async dispose(): Promise<void> {
    this.#closing = true;
    const link = await this.#link.catch(() => null);
    link?.session.close();
    link?.close();
  }
}
