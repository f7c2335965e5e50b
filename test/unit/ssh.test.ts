/** Whom netrig trusts, and what it logs in with: against an SSH server in this process, with keys of ssh-keygen. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import ssh2 from 'ssh2';
import { NetrigError } from '../../src/core/errors.ts';
import { connectSsh } from '../../src/rig/machines/ssh/connection.ts';
import { credentialsFor } from '../../src/rig/machines/ssh/credentials.ts';
import type { SshAccess } from '../../src/rig/rigfile.ts';

const dir = mkdtempSync(join(tmpdir(), 'netrig-ssh-'));
test.after.always(() => rmSync(dir, { recursive: true }));

/** Path of a new private key. */
function keygen(name: string, type: string, passphrase = ''): string {
  const path = join(dir, name);
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', '', '-f', path]);
  return path;
}
const publicKey = (path: string): string => readFileSync(`${path}.pub`, 'utf8').trim();
const [hostKey, otherKey, rsaKey, userKey, lockedKey] = [
  keygen('host', 'ed25519'),
  keygen('other', 'ed25519'),
  keygen('host-rsa', 'rsa'),
  keygen('user', 'ed25519'),
  keygen('locked', 'ed25519', 'secret'),
];

async function server(hostKeys: readonly string[]) {
  const listening = new ssh2.Server({ hostKeys: hostKeys.map((path) => readFileSync(path)) }, (client) => {
    client.on('authentication', (ctx) => (ctx.method === 'publickey' ? ctx.accept() : ctx.reject())).on('error', () => undefined);
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return { port: (listening.address() as { port: number }).port, [Symbol.dispose]: () => void listening.close() };
}

/** "ok", or code and message. */
async function login(port: number, knownHosts: (host: string) => string, own: Partial<SshAccess> = {}): Promise<string> {
  const file = join(mkdtempSync(join(dir, 'known-')), 'known_hosts');
  writeFileSync(file, knownHosts(`[127.0.0.1]:${port}`));
  const ssh: SshAccess = {
    address: '127.0.0.1',
    port,
    user: 'lab',
    keyFile: userKey,
    hostKey: null,
    knownHosts: file,
    jump: null,
    sudo: false,
    ...own,
  };
  return connectSsh({ name: 'm', ssh }, null, 5000).then(
    (client) => {
      client.end();
      return 'ok';
    },
    (error: unknown) => {
      assert.ok(error instanceof NetrigError, String(error));
      return `${error.code} ${error.message}`;
    },
  );
}

test('a host key that is known, unknown, another one, revoked', async () => {
  using here = await server([hostKey]);
  const { port } = here;
  assert.equal(await login(port, (host) => `${host} ${publicKey(hostKey)}\n`), 'ok');
  assert.match(await login(port, () => ''), /^HOST_KEY_UNKNOWN .*is not known: ssh-ed25519 SHA256:/);
  assert.match(await login(port, (host) => `${host} ${publicKey(otherKey)}\n`), /^HOST_KEY_UNKNOWN .*not the expected one/);
  for (const pattern of ['*', '[127.0.0.1]:*'])
    assert.match(
      await login(port, (host) => `@revoked ${pattern} ${publicKey(hostKey)}\n${host} ${publicKey(hostKey)}\n`),
      /^HOST_KEY_UNKNOWN .*a key that is revoked/,
      pattern,
    );
  assert.match(
    await login(port, () => `@revoked * ${publicKey(hostKey)}\n`, { hostKey: publicKey(hostKey) }),
    /a key that is revoked/,
    'the rig file does not overrule it',
  );
  assert.equal(await login(port, (host) => `@revoked * ${publicKey(otherKey)}\n${host} ${publicKey(hostKey)}\n`), 'ok');
});

test('kinds of keys that cannot be used are passed over, and named where nothing else is there', async () => {
  using here = await server([hostKey, rsaKey]);
  const { port } = here;
  const strange = 'sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAA';
  assert.equal(await login(port, (host) => `${host} ${strange}\n${host} ${publicKey(hostKey)}\n`), 'ok');
  assert.equal(await login(port, (host) => `${host} ${publicKey(rsaKey)}\n`), 'ok', 'the kind that is known is asked for');
  assert.match(await login(port, (host) => `${host} ${strange}\n`), /netrig does not use a key of the kind sk-ssh-ed25519/);
  assert.match(
    await login(port, (host) => `@cert-authority ${host} ${publicKey(otherKey)}\n`),
    /does not use an authority for certificates/,
  );
});

test('a private key that cannot be used says why, and leaves the agent its turn', () => {
  const home = join(dir, 'home');
  const refusal = (keyFile: string | null, agent?: string): RegExp | string => {
    try {
      return Object.keys(credentialsFor('m', keyFile, { agent, home })).join();
    } catch (error) {
      assert.ok(error instanceof NetrigError && error.code === 'HOST_UNREACHABLE', String(error));
      return `${error.message} ${error.hint}`;
    }
  };
  writeFileSync(join(dir, 'nonsense'), 'hello\n');
  assert.match(String(refusal(join(dir, 'nonsense'))), /cannot use the key .*nonsense: it is no private key/);
  assert.match(String(refusal(join(dir, 'absent'))), /ENOENT/);
  assert.match(String(refusal(`${userKey}.pub`)), /it is a public key/);
  assert.match(String(refusal(lockedKey)), /it has a passphrase .*ssh-add/);
  assert.equal(refusal(lockedKey, '/agent'), 'agent');
  assert.equal(refusal(userKey, '/agent'), 'privateKey');
  assert.match(String(refusal(null)), /there is no key to log in with/);
  mkdirSync(join(home, '.ssh'), { recursive: true });
  writeFileSync(join(home, '.ssh/id_ed25519'), readFileSync(lockedKey));
  assert.match(String(refusal(null)), /id_ed25519: it has a passphrase/);
  assert.equal(refusal(null, '/agent'), 'agent');
  writeFileSync(join(home, '.ssh/id_rsa'), readFileSync(rsaKey));
  assert.equal(refusal(null), 'privateKey', 'the next file that can be used');
});
