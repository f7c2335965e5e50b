/** What a switcher is told: the parts that its flows follow from. */
import type { Access, Destination, Pool } from '../rows.ts';

/** An endpoint that is on this host. */
export interface EndpointItem {
  readonly kind: 'endpoint';
  readonly vnid: number;
  readonly port: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** What is behind it: it sends for these, too. */
  readonly prefixes: readonly string[];
  /** Of balancers that it is a backend of: it sends from these, too. */
  readonly serves: readonly string[];
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

interface To {
  readonly vnid: number;
  readonly address: string;
  readonly access: Access;
  /** Of its flow: what tells it apart where packets are counted. */
  readonly number: number;
}

/** Where packets of a network to an address go; `to` null: nowhere. */
export interface DestinationItem extends To {
  readonly kind: 'destination';
  readonly to: Destination | null;
}

/** A backend of a balancer. */
export interface Way {
  readonly to: Destination;
  /** Of new connections; those that it has it keeps. */
  readonly weight: number;
  /** The same as long as it is one. */
  readonly number: number;
}

/** Packets of a network to an address go several ways, each connection one (R2-26). */
export interface BalancedItem extends To {
  readonly kind: 'balanced';
  readonly ways: readonly Way[];
}

/** Packets of a network to nobody whom it knows itself go by gateways (R2-24). `direct`: prefixes of those whom it knows. */
export interface PoolItem {
  readonly kind: 'pool';
  readonly vnid: number;
  readonly members: Pool['members'];
  readonly direct: readonly string[];
}

/** A network whose packets come to this gateway. */
export interface GatewayItem {
  readonly kind: 'gateway';
  readonly vnid: number;
}

export type Item = EndpointItem | MovedItem | RepliesItem | DestinationItem | BalancedItem | PoolItem | GatewayItem;
