/** Which keys a machine may show: those of the rig file and of known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
import { existsSync } from 'node:fs';
import { execa } from 'execa';
import type { SshAccess } from '../../rigfile.ts';

export interface HostKey {
  readonly type: string;
  readonly blob: Buffer;
}

export interface Trust {
  /** Of kinds that can be used. */
  readonly known: readonly HostKey[];
  /** Never accepted, whatever else is known. */
  readonly revoked: readonly HostKey[];
  /** Of what is there, but of no use here: in words. */
  readonly unused: readonly string[];
}

/** By key type: how it may sign. An RSA key signs with SHA-2 (RFC 8332). */
const SIGNATURES: Readonly<Record<string, readonly string[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};

export const signaturesOf = (keys: readonly HostKey[]): string[] => keys.flatMap((key) => SIGNATURES[key.type] ?? []);

/** As known_hosts and ssh-keygen name it. */
export const hostName = ({ address, port }: Pick<SshAccess, 'address' | 'port'>): string =>
  port === 22 ? address : `[${address}]:${port}`;

function keyOf(text: string): HostKey {
  const [type = '', blob = ''] = text.trim().split(/\s+/);
  return { type, blob: Buffer.from(blob, 'base64') };
}

/** Lines of known_hosts that are about one machine. */
export function trustOf(lines: readonly string[], own: string | null): Trust {
  const [known, revoked, unused] = [[] as HostKey[], [] as HostKey[], [] as string[]];
  const add = (key: HostKey): void => {
    if (Object.hasOwn(SIGNATURES, key.type)) known.push(key);
    else unused.push(`a key of the kind ${key.type}`);
  };
  for (const line of lines) {
    const [, marker, rest = ''] = /^(@\S+)?\s*(.*)$/.exec(line) ?? [];
    const key = keyOf(rest.replace(/^\S+\s+/, ''));
    if (marker === '@revoked') revoked.push(key);
    else if (marker !== undefined) unused.push(marker === '@cert-authority' ? 'an authority for certificates' : `the marker ${marker}`);
    else if (own === null) add(key);
  }
  if (own !== null) add(keyOf(own));
  return { known, revoked, unused };
}

/** ssh-keygen reads known_hosts: it knows hashed names, patterns and ports. */
export async function trustIn(ssh: SshAccess): Promise<Trust> {
  if (!existsSync(ssh.knownHosts)) return trustOf([], ssh.hostKey);
  const { stdout, exitCode } = await execa('ssh-keygen', ['-F', hostName(ssh), '-f', ssh.knownHosts], { reject: false });
  const lines = exitCode === 0 ? stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#')) : [];
  return trustOf(lines, ssh.hostKey);
}
