/** One SSH connection to a machine: the host's key verified, kept alive, shared by everything that goes there. */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import ssh2, { type Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { NetrigError } from '../../../core/errors.ts';
import { quote, shellQuoted } from '../../../core/shell.ts';
import type { SshAccess } from '../../rigfile.ts';
import { credentialsFor } from './credentials.ts';
import { hostName, signaturesOf, trustIn, type Trust } from './trust.ts';

const KEEPALIVE_MS = 5000;
const KEEPALIVE_MISSES = 3;

export interface SshTarget {
  /** Name in the rig file. */
  readonly name: string;
  readonly ssh: SshAccess;
}

/** `through`: a jump host's connection. */
export async function connectSsh({ name, ssh }: SshTarget, through: Client | null, timeoutMs: number): Promise<Client> {
  const client = new ssh2.Client();
  // What breaks later ends the channels, and they say so.
  client.on('error', () => undefined);
  const trust = await trustIn(ssh);
  let refused: NetrigError | undefined;
  const config: ConnectConfig = {
    host: ssh.address,
    port: ssh.port,
    username: ssh.user,
    readyTimeout: timeoutMs,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVE_MISSES,
    // The kinds of key that are known, so that the machine shows one of them.
    ...(trust.known.length > 0 ? { algorithms: { serverHostKey: signaturesOf(trust.known) as ServerHostKeys } } : {}),
    hostVerifier: (key: Buffer) => {
      const isRevoked = trust.revoked.some((k) => k.blob.equals(key));
      if (!isRevoked && trust.known.some((k) => k.blob.equals(key))) return true;
      refused = refusal(name, ssh, key, trust, isRevoked);
      return false;
    },
    ...credentialsFor(name, ssh.keyFile),
    ...(through ? { sock: await tunnel(through, ssh) } : {}),
  };
  await new Promise<void>((resolve, reject) => {
    client
      .once('ready', resolve)
      .once('error', (error) => reject(refused ?? unreachable(name, ssh, error)))
      .connect(config);
  });
  // Frames are small and answers awaited: 40 ms each without this.
  client.setNoDelay(true);
  return client;
}

/** Runs a command whose every word is quoted for the login shell, which SSH hands commands to (RFC 4254, section 6.5). */
export function openChannel(client: Client, argv: readonly string[]): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    client.exec(shellQuoted(argv), (error, channel) =>
      error ? reject(new NetrigError('HOST_LOST', `no channel: ${error.message}`, { cause: error })) : resolve(channel),
    ),
  );
}

/** A command to its end, for what comes before hostd. */
export async function runOnce(
  client: Client,
  argv: readonly string[],
  input?: NodeJS.ReadableStream | string,
): Promise<{ stdout: string; stderr: string; exitCode: number }> {
  const channel = await openChannel(client, argv);
  let [stdout, stderr] = ['', ''];
  channel.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  channel.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<number>((resolve) => {
    let code = 1;
    channel
      .on('exit', (status: number | null) => {
        code = status ?? 1;
      })
      .on('close', () => resolve(code))
      .on('error', () => undefined);
  });
  if (typeof input === 'object') input.pipe(channel);
  else channel.end(input ?? '');
  const exitCode = await ended;
  return { stdout, stderr, exitCode };
}

type ServerHostKeys = NonNullable<NonNullable<ConnectConfig['algorithms']>['serverHostKey']> & string[];

function refusal(name: string, ssh: SshAccess, key: Buffer, { known, unused }: Trust, isRevoked: boolean): NetrigError {
  const fingerprint = `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
  const type = key.toString('latin1', 4, 4 + key.readUInt32BE(0));
  const accept = `echo ${quote(`${hostName(ssh)} ${type} ${key.toString('base64')}`)} >> ${quote(ssh.knownHosts)}`;
  if (isRevoked)
    return new NetrigError('HOST_KEY_UNKNOWN', `${name} (${hostName(ssh)}) shows a key that is revoked: ${type} ${fingerprint}`, {
      hint: `${ssh.knownHosts} says so (@revoked): whoever has the key is not to be trusted`,
    });
  if (known.length > 0)
    return new NetrigError(
      'HOST_KEY_UNKNOWN',
      `${name} (${hostName(ssh)}) shows a key that is not the expected one: ${type} ${fingerprint}. Somebody may be in between, or the machine was installed anew`,
      { hint: `find out which. Then ssh-keygen -R ${quote(hostName(ssh))} -f ${quote(ssh.knownHosts)}, or mend host-key in the rig file` },
    );
  return new NetrigError(
    'HOST_KEY_UNKNOWN',
    `${name} (${hostName(ssh)}) shows a key that is not known: ${type} ${fingerprint}${unused.length === 0 ? '' : `. netrig does not use ${unused.join(', ')}, which is there for it`}`,
    { hint: `compare it with ssh-keygen -lf /etc/ssh/ssh_host_${type.replace(/^ssh-/, '')}_key.pub there; if it is the same: ${accept}` },
  );
}

const tunnel = (through: Client, { address, port }: SshAccess): Promise<Duplex> =>
  new Promise((resolve, reject) =>
    through.forwardOut('127.0.0.1', 0, address, port, (error, stream) =>
      error
        ? reject(new NetrigError('HOST_UNREACHABLE', `the jump host does not reach ${address}:${port}: ${error.message}`))
        : resolve(stream),
    ),
  );

function unreachable(name: string, ssh: SshAccess, error: Error & { level?: string }): NetrigError {
  const login = error.level === 'client-authentication';
  return new NetrigError('HOST_UNREACHABLE', `${name} (${ssh.user}@${hostName(ssh)}): ${error.message}`, {
    hint: login
      ? `the login is refused: is the public key in ~${ssh.user}/.ssh/authorized_keys there? An SSH agent's keys are used where ssh.key names no file`
      : 'is it on? ssh to it by hand; netrig rig up boots virtual machines',
    cause: error,
  });
}
