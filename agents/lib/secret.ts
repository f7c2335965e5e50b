import { createHmac, createPrivateKey, type KeyObject } from 'node:crypto';

/** A key for one purpose, of the secret (hexadecimal) that the agents of a run share. It opens nothing of another purpose. */
export const derivedKey = (secret: string, purpose: string): Buffer =>
  createHmac('sha256', Buffer.from(secret, 'hex')).update(purpose).digest();

/** DER of a private key, before its 32 bytes (RFC 8410). */
const HEADS = { x25519: '302e020100300506032b656e04220420', ed25519: '302e020100300506032b657004220420' } as const;

/** The same as a private key: to agree on another one (X25519), or to sign with (Ed25519). */
export const derivedPrivateKey = (secret: string, purpose: string, kind: keyof typeof HEADS): KeyObject =>
  createPrivateKey({ key: Buffer.concat([Buffer.from(HEADS[kind], 'hex'), derivedKey(secret, purpose)]), format: 'der', type: 'pkcs8' });
