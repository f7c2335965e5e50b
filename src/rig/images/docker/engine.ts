/** The Docker Engine of this machine: containers of labs, and commands in them. Images come from `netrig image build`. */
import { createReadStream, existsSync } from 'node:fs';
import { PassThrough, Writable, type Duplex } from 'node:stream';
import Docker from 'dockerode';
import { sleep } from '../../../core/context.ts';
import { NetrigError } from '../../../core/errors.ts';
import { NOT_FOUND, type Exit, type HostProcess } from '../../hosts/host.ts';
import { LAB_LABEL } from '../../labs/names.ts';
import type { ContainerSpec } from '../../labs/steps.ts';

/** What a node may do in its own network: addresses, nftables, tc; and real-time priority where the kernel grants it to containers. */
const CAPABILITIES = ['NET_ADMIN', 'SYS_NICE'];
/** Where packets of a tap or tunnel device are read; absent where the kernel has none. */
const TUN = '/dev/net/tun';
/**
 * Beside: kernel settings, programs for the kernel, taps. Not Docker's own "privileged", which wants every device and
 * right that there is.
 */
const PRIVILEGED = {
  CapAdd: [...CAPABILITIES, 'SYS_ADMIN'],
  ReadonlyPaths: [],
  MaskedPaths: [],
  Devices: existsSync(TUN) ? [{ PathOnHost: TUN, PathInContainer: TUN, CgroupPermissions: 'rw' }] : [],
};
const PID_POLL_MS = 5;
const HEAD_BYTES = 500;
/** How runc says it, with exit status 126 or 127. */
const NO_PROGRAM = /executable file not found|no such file or directory/;

export class Engine {
  readonly #docker: Docker;
  readonly socket: string;

  constructor(socket: string) {
    this.socket = socket;
    this.#docker = new Docker({ socketPath: socket });
  }

  /** Its version; null: none answers. */
  async version(): Promise<string | null> {
    return this.#docker.version().then(
      (v) => v.Version,
      () => null,
    );
  }

  /** Creates and starts; the process that holds the container's namespaces. */
  async start({ name, lab, image, hostname, env, binds, memoryBytes, cpus, privileged }: ContainerSpec): Promise<number> {
    const create = () =>
      this.#docker.createContainer({
        name,
        Image: image,
        Hostname: hostname,
        Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
        Labels: { [LAB_LABEL]: lab, 'netrig.node': hostname },
        Cmd: ['sleep', 'infinity'],
        HostConfig: {
          NetworkMode: 'none',
          Init: true,
          CapAdd: CAPABILITIES,
          ...(privileged ? PRIVILEGED : {}),
          Binds: binds.map((path) => `${path}:${path}:ro`),
          ...(memoryBytes === null ? {} : { Memory: memoryBytes }),
          ...(cpus === null ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
        },
      });
    const container = await this.#explained(name, () =>
      create().catch(async (error: unknown) => {
        if ((error as { statusCode?: number }).statusCode !== 409 || !(await this.#isOurs(name))) throw error;
        await this.remove(name);
        return create();
      }),
    );
    await this.#explained(name, () => container.start());
    return (await container.inspect()).State.Pid;
  }

  /** Left by a lab that was removed while no engine ran. */
  async #isOurs(name: string): Promise<boolean> {
    return LAB_LABEL in (await this.#docker.getContainer(name).inspect()).Config.Labels;
  }

  /** Nothing there is no error. */
  async remove(name: string): Promise<void> {
    await this.#docker
      .getContainer(name)
      .remove({ force: true, v: true })
      .catch((error: unknown) => {
        if ((error as { statusCode?: number }).statusCode !== 404) throw explain(name, error);
      });
  }

  /** Names of a lab's containers. */
  async containersOf(lab: string): Promise<string[]> {
    const found = await this.#explained(lab, () => this.#docker.listContainers({ all: true, filters: { label: [`${LAB_LABEL}=${lab}`] } }));
    return found.flatMap(({ Names }) => Names.map((name) => name.replace(/^\//, '')));
  }

  /** Containers of every lab. */
  async removeAll(): Promise<void> {
    const left = await this.#docker.listContainers({ all: true, filters: { label: [LAB_LABEL] } });
    for (const { Id } of left) await this.remove(Id);
  }

  async hasImage(image: string): Promise<boolean> {
    return this.#docker
      .getImage(image)
      .inspect()
      .then(
        () => true,
        () => false,
      );
  }

  async importImage(image: string, tar: string): Promise<void> {
    const [repo, tag] = image.split(':') as [string, string];
    const answer = await this.#explained(image, () => this.#docker.importImage(createReadStream(tar), { repo, tag }));
    const failure = await new Promise<string | undefined>((resolve) => {
      this.#docker.modem.followProgress(answer, (error: Error | null, output: { error?: string }[] | null) =>
        resolve(error?.message ?? output?.find((o) => o.error)?.error),
      );
    });
    if (failure !== undefined) throw new NetrigError('STEP_FAILED', `the engine does not take the image ${image}: ${failure}`);
  }

  /** A command in a container. Its exit status is its own; a signal goes to it, not to the container. */
  spawn(container: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}): HostProcess {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    let onExit: (exit: Exit) => void = () => undefined;
    const exited = new Promise<Exit>((resolve) => {
      onExit = resolve;
    });
    let killed: NodeJS.Signals | null = null;
    const attached = this.#attach(container, argv, env, stdout, stderr);
    attached
      .then(async ({ ended, command, said }) => {
        await ended;
        const { ExitCode: status } = await command.inspect().catch(() => ({ ExitCode: null }));
        const code = status !== null && status >= 126 && NO_PROGRAM.test(said()) ? NOT_FOUND : status;
        onExit(killed !== null && (code === null || code > 128) ? { code: null, signal: killed } : { code: code ?? 1, signal: null });
      })
      .catch((error: unknown) => {
        const { message } = explain(container, error);
        stderr.end(message);
        stdout.end();
        onExit({ code: NO_PROGRAM.test(message) ? NOT_FOUND : 126, signal: null });
      });
    const stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        attached.then(
          ({ stream }) => stream.write(chunk, () => done()),
          () => done(),
        );
      },
      final: (done) => {
        attached.then(
          ({ stream }) => stream.end(() => done()),
          () => done(),
        );
      },
    });
    const kill = (signal: NodeJS.Signals) => {
      killed = signal;
      attached
        .then(async ({ command }) => {
          for (let info = await command.inspect(); info.Running || info.Pid === 0; info = await command.inspect()) {
            if (info.Pid > 0) return void process.kill(info.Pid, signal);
            await sleep(PID_POLL_MS);
          }
          return undefined;
        })
        .catch(() => undefined); // it has ended
    };
    return { stdin, stdout, stderr, exited, kill, killGroup: kill };
  }

  async #attach(
    container: string,
    argv: readonly string[],
    env: Readonly<Record<string, string>>,
    stdout: PassThrough,
    stderr: PassThrough,
  ): Promise<{ command: Docker.Exec; stream: Duplex; ended: Promise<void>; said: () => string }> {
    const command = await this.#docker
      .getContainer(container)
      .exec({
        Cmd: [...argv],
        Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
      });
    const stream = await command.start({ hijack: true, stdin: true });
    // runc says on the command's own output that there is no such command.
    let head = '';
    const tap = {
      write: (chunk: Buffer) => {
        if (head.length < HEAD_BYTES) head += chunk.toString('latin1');
        return stdout.write(chunk);
      },
    };
    this.#docker.modem.demuxStream(stream, tap as unknown as NodeJS.WritableStream, stderr);
    const ended = new Promise<void>((resolve) => {
      const finish = () => {
        stdout.end();
        stderr.end();
        resolve();
      };
      stream.once('end', finish).once('close', finish).once('error', finish);
    });
    return { command, stream, ended, said: () => head };
  }

  async #explained<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explain(what, error);
    }
  }
}

function explain(what: string, error: unknown): NetrigError {
  if (error instanceof NetrigError) return error;
  const { message, code } = error as Error & { code?: string };
  if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'EACCES')
    return new NetrigError('CAPABILITY_MISSING', `no Docker Engine answers: ${message}`, {
      hint: 'start it, or engine: own in the rig file and netrig rig up',
      cause: error,
    });
  return new NetrigError('STEP_FAILED', `container ${what}: ${message}`, {
    cause: error,
    ...(/No such image/i.test(message) ? { hint: 'netrig image build' } : {}),
  });
}
