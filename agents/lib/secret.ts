import { createHmac } from 'node:crypto';

/** A key for one purpose, of the secret (hexadecimal) that the agents of a run share. It opens nothing of another purpose. */
export const derivedKey = (secret: string, purpose: string): Buffer =>
  createHmac('sha256', Buffer.from(secret, 'hex')).update(purpose).digest();
