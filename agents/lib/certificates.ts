/**
 * Certificates (X.509) of the agents of a system, of an authority that is the run's: keys follow from its secret, so that nobody hands
 * them about. Node makes keys, but no certificates; openssl does.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';
import { derivedPrivateKey } from './secret.ts';

const DAYS = '3650';
/** Processes beside each other. */
const AT_ONCE = 8;

/** PEM. */
export interface Credentials {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface CertificateFiles {
  readonly files: Readonly<Record<keyof Credentials, string>>;
  readonly credentials: Credentials;
}

/** Ed25519. Of an agent, by its name; it also signs with it. */
export const signingKey = (secret: string, name: string): KeyObject => derivedPrivateKey(secret, `certificate ${name}`, 'ed25519');

export const verifyingKey = (secret: string, name: string): KeyObject => createPublicKey(signingKey(secret, name));

interface Subject {
  readonly name: string;
  readonly address: string;
}

/** For a name, which others know it by, at an address. In a folder that only root can enter. */
export async function issueCertificate(dir: string, secret: string, subject: Subject): Promise<CertificateFiles> {
  const [own] = await issueCertificates(dir, secret, [subject]);
  return own!;
}

/** The same for many. */
export async function issueCertificates(dir: string, secret: string, subjects: readonly Subject[]): Promise<CertificateFiles[]> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = (base: string): string => join(dir, base);
  const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' }).toString();
  const request = ['req', '-x509', '-days', DAYS];
  const [authority, ca] = [file('ca.key'), file('ca.pem')];
  writeFileSync(authority, pem(signingKey(secret, 'authority')), { mode: 0o600 });
  // What another run left is of another authority.
  await run('openssl', [...request, '-key', authority, '-subj', '/CN=authority of the run', '-out', ca]);
  const issue = async ({ name, address }: Subject): Promise<CertificateFiles> => {
    const files = { ca, certificate: file(`${name}.pem`), key: file(`${name}.key`) };
    writeFileSync(files.key, pem(signingKey(secret, name)), { mode: 0o600 });
    const names = ['-addext', `subjectAltName=DNS:${name},IP:${address}`, '-addext', 'basicConstraints=CA:false'];
    const signer = ['-CA', ca, '-CAkey', authority];
    await run('openssl', [...request, ...signer, '-key', files.key, '-subj', `/CN=${name}`, ...names, '-out', files.certificate]);
    return { files, credentials: { ca: readFileSync(ca), certificate: readFileSync(files.certificate), key: readFileSync(files.key) } };
  };
  const issued: CertificateFiles[] = [];
  for (let at = 0; at < subjects.length; at += AT_ONCE) issued.push(...(await Promise.all(subjects.slice(at, at + AT_ONCE).map(issue))));
  return issued;
}
