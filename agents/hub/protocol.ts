/** What the nodes of a hub call at each other (lib/channel.ts), and what hosts log. */
import { Type } from 'typebox';
import { nullable } from '../../src/core/config/parts.ts';
import type { Described } from '../../src/core/readonly.ts';
import type { Change } from './changes.ts';

/** Of DMNs, AINs and gateways, for the control plane. */
export interface FollowerFunctions {
  /** Resolves when it rules there. Rejects what goes upon other metadata than it has. */
  apply(change: Change): Promise<void>;
  /** It rules everywhere: networks have their routes. */
  settled(version: number): void;
}

/** Of the control plane, for those that follow it. */
export interface ControlFunctions {
  /** Of a gateway: what its network's own router announces now. Resolves when all nodes follow. */
  learned(prefixes: readonly string[]): Promise<void>;
  /** Of an AIN: packets a second that came to it. */
  load(packetsPerSecond: number): Promise<void>;
}

/** What a host's look-up of a name found. */
export const lookup = Type.Object({
  /** "NOERROR"; "none": nobody answered. */
  status: Type.String(),
  /** Types of the records of the answer, and the data of those that were asked for. */
  types: Type.Array(Type.String()),
  data: Type.Array(Type.String()),
  ttlSeconds: nullable(Type.Number()),
  /** Hosts at its IPv4 addresses; null: nobody answered there. */
  reached: Type.Array(nullable(Type.String())),
});
export type Lookup = Described<typeof lookup>;
