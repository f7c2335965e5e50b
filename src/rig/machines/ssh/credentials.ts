/** What netrig logs in with: the rig file's key, or the SSH agent's and the usual files. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type ConnectConfig } from 'ssh2';
import { NetrigError } from '../../../core/errors.ts';

const KEY_FILES = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

export type Credentials = Pick<ConnectConfig, 'privateKey' | 'agent'>;

/** A private key that can be used as it is, or why it cannot. */
function readKey(file: string): Buffer | string {
  let content;
  try {
    content = readFileSync(file);
  } catch (error) {
    return (error as Error).message;
  }
  const key = ssh2.utils.parseKey(content);
  if (key instanceof Error)
    return /encrypted|passphrase/i.test(key.message) ? 'it has a passphrase' : `it is no private key: ${key.message}`;
  return key.isPrivateKey() ? content : 'it is a public key';
}

/**
 * `keyFile`: of the rig file; null: the agent's keys and the first usual file that can be used. A key with a passphrase is
 * the agent's to use. HOST_UNREACHABLE if there is nothing to log in with.
 */
export function credentialsFor(
  machine: string,
  keyFile: string | null,
  { agent, home }: { agent?: string | undefined; home: string } = { agent: process.env['SSH_AUTH_SOCK'], home: homedir() },
): Credentials {
  const byAgent = agent === undefined ? {} : { agent };
  const files = keyFile === null ? KEY_FILES.map((name) => join(home, '.ssh', name)).filter((path) => existsSync(path)) : [keyFile];
  const reasons: string[] = [];
  for (const file of files) {
    const key = readKey(file);
    if (typeof key !== 'string') return { ...(keyFile === null ? byAgent : {}), privateKey: key };
    reasons.push(`cannot use the key ${file}: ${key}`);
  }
  const hasPassphrase = reasons.some((reason) => reason.endsWith('it has a passphrase'));
  if (agent !== undefined && (keyFile === null || hasPassphrase)) return byAgent;
  throw new NetrigError('HOST_UNREACHABLE', `${machine}: ${reasons.join('; ') || 'there is no key to log in with'}`, {
    hint: hasPassphrase
      ? `give it to an SSH agent: eval "$(ssh-agent)" && ssh-add FILE`
      : 'ssh.key of the rig file names a private key; without it, an SSH agent and ~/.ssh/id_ed25519 are used',
  });
}
