/** One SSH connection to a machine: the host's key verified, kept alive, shared by everything that goes there. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { execa } from 'execa';
import ssh2, { type Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { NetrigError } from '../../../core/errors.ts';
import type { SshAccess } from '../../rigfile.ts';

const KEEPALIVE_MS = 5000;
const KEEPALIVE_MISSES = 3;
const KEY_FILES = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

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
  const known = await knownKeys(ssh);
  let refused: NetrigError | undefined;
  const config: ConnectConfig = {
    host: ssh.address,
    port: ssh.port,
    username: ssh.user,
    readyTimeout: timeoutMs,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVE_MISSES,
    // The kinds of key that are known, so that the machine shows one of them.
    ...(known.length > 0 ? { algorithms: { serverHostKey: hostKeyAlgorithms(known) } } : {}),
    hostVerifier: (key: Buffer) => {
      if (known.some((k) => k.blob.equals(key))) return true;
      refused = refusal(name, ssh, key, known.length > 0);
      return false;
    },
    ...credentials(name, ssh),
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
    client.exec(argv.map(quote).join(' '), (error, channel) =>
      error ? reject(new NetrigError('HOST_LOST', `no channel: ${error.message}`, { cause: error })) : resolve(channel),
    ),
  );
}

export const quote = (word: string): string => (/^[A-Za-z0-9_/.,:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

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

interface KnownKey {
  readonly type: string;
  readonly blob: Buffer;
}

const parseKey = (text: string): KnownKey => {
  const [type = '', blob = ''] = text.trim().split(/\s+/);
  return { type, blob: Buffer.from(blob, 'base64') };
};

const hostName = ({ address, port }: SshAccess): string => (port === 22 ? address : `[${address}]:${port}`);

/** ssh-keygen reads known_hosts, hashed names included. */
async function knownKeys(ssh: SshAccess): Promise<KnownKey[]> {
  if (ssh.hostKey !== null) return [parseKey(ssh.hostKey)];
  if (!existsSync(ssh.knownHosts)) return [];
  const { stdout, exitCode } = await execa('ssh-keygen', ['-F', hostName(ssh), '-f', ssh.knownHosts], { reject: false });
  if (exitCode !== 0) return [];
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('@'))
    .map((line) => parseKey(line.replace(/^\S+\s+/, '')));
}

/** An RSA key signs with SHA-2 (RFC 8332). */
const hostKeyAlgorithms = (known: readonly KnownKey[]) =>
  known.flatMap((k) => (k.type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [k.type])) as NonNullable<
    NonNullable<ConnectConfig['algorithms']>['serverHostKey']
  > &
    string[];

function refusal(name: string, ssh: SshAccess, key: Buffer, expected: boolean): NetrigError {
  const fingerprint = `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
  const type = key.toString('latin1', 4, 4 + key.readUInt32BE(0));
  const accept = `echo ${quote(`${hostName(ssh)} ${type} ${key.toString('base64')}`)} >> ${quote(ssh.knownHosts)}`;
  if (expected)
    return new NetrigError(
      'HOST_KEY_UNKNOWN',
      `${name} (${hostName(ssh)}) shows a key that is not the expected one: ${type} ${fingerprint}. Somebody may be in between, or the machine was installed anew`,
      { hint: `find out which. Then ssh-keygen -R ${quote(hostName(ssh))} -f ${quote(ssh.knownHosts)}, or mend host-key in the rig file` },
    );
  return new NetrigError('HOST_KEY_UNKNOWN', `${name} (${hostName(ssh)}) shows a key that is not known: ${type} ${fingerprint}`, {
    hint: `compare it with ssh-keygen -lf /etc/ssh/ssh_host_${type.replace(/^ssh-/, '')}_key.pub there; if it is the same: ${accept}`,
  });
}

function credentials(name: string, ssh: SshAccess): Pick<ConnectConfig, 'privateKey' | 'agent'> {
  if (ssh.keyFile !== null) {
    try {
      return { privateKey: readFileSync(ssh.keyFile) };
    } catch (cause) {
      throw new NetrigError('HOST_UNREACHABLE', `${name}: cannot read the key ${ssh.keyFile}: ${(cause as Error).message}`, { cause });
    }
  }
  const agent = process.env['SSH_AUTH_SOCK'];
  const file = KEY_FILES.map((f) => join(homedir(), '.ssh', f)).find((f) => existsSync(f));
  return { ...(agent === undefined ? {} : { agent }), ...(file === undefined ? {} : { privateKey: readFileSync(file) }) };
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
