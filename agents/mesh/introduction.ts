/** A controller's word that a host carries endpoints of its network: what controllers of peers let the host in by (R2-5). Pure. */
import { sign, verify, type KeyObject } from 'node:crypto';
import type { Membership } from './rows.ts';

/** Every field, so that none can be another one. */
const textOf = ({ host, network, controller, untilMs }: Omit<Membership, 'signature'>): Buffer =>
  Buffer.from(JSON.stringify(['mesh membership', host, network, controller, untilMs]));

/** `key`: Ed25519, of the controller. */
export const introduce = (claim: Omit<Membership, 'signature'>, key: KeyObject): Membership => ({
  ...claim,
  signature: sign(null, textOf(claim), key).toString('base64'),
});

export const isGenuine = (claim: Membership, key: KeyObject): boolean =>
  verify(null, textOf(claim), key, Buffer.from(claim.signature, 'base64'));
