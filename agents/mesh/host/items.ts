/** What a switcher is told: the parts that its flows follow from. */
import type { Access, Destination } from '../rows.ts';

/** An endpoint that is on this host. */
export interface EndpointItem {
  readonly kind: 'endpoint';
  readonly vnid: number;
  readonly port: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** What is behind it: it sends for these, too. */
  readonly prefixes: readonly string[];
}

/** An endpoint that was here, and what still comes for it goes on to where it is now. */
export interface MovedItem {
  readonly kind: 'moved';
  readonly vnid: number;
  readonly mac: string;
  readonly via: string;
}

/** A peer whose endpoints may begin connections to a network of this host, which may only answer (R2-8). */
export interface RepliesItem {
  readonly kind: 'replies';
  readonly vnid: number;
  readonly prefixes: readonly string[];
}

/** Where packets of a network to an address go; `to` null: nowhere. */
export interface DestinationItem {
  readonly kind: 'destination';
  readonly vnid: number;
  readonly address: string;
  readonly to: Destination | null;
  readonly access: Access;
  /** Of its flow: what tells it apart where packets are counted. */
  readonly number: number;
}

export type Item = EndpointItem | MovedItem | RepliesItem | DestinationItem;
