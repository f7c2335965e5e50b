/** What nodes of a mesh may be asked for: parameters, and how they are checked. */
import { Type, type TSchema } from 'typebox';
import { closed, opt, text } from '../../src/core/config/parts.ts';
import { probeOperation } from '../lib/probing/rows.ts';
import type { Role } from './config.ts';
import { access, via } from './rows.ts';
import { policySchema } from './control/policies.ts';

const network = text('Network, one of this controller.');
const endpoint = text('Endpoint of the network.');

export const CONTROLLER_OPERATIONS = {
  /** What a peer is told of the network's addresses. */
  CreateExportPolicy: closed({ network, policy: text('Name.'), ...policySchema.properties }),
  /** The owner's agreement to a peering; it rules when the peer's owner agrees too. */
  CreatePeering: closed({
    network,
    peer: text('Network, of any controller.'),
    export: opt(text('Export policy for what the peer is told (default "all").')),
    access: opt(access),
    /** How packets to the peer go: host to host (default), or by the pool of gateways. */
    via: opt(via),
    preference: opt(
      Type.Integer({ minimum: 0, maximum: 1000, description: 'Of routes that several peers have, that of the highest wins (default 0).' }),
    ),
  }),
  DeletePeering: closed({ network, peer: text('Network.') }),
  /** Machines that are nobody's node: rows with addresses from `address` on, on a host that has no port for them. */
  CreateEndpoints: closed({
    network,
    address: text('Address of the first.'),
    count: Type.Integer({ minimum: 1, maximum: 100_000 }),
    host: text('Host.'),
  }),
  /** Complete when both hosts follow it. */
  MoveEndpoint: closed({ network, endpoint, host: text('Host that it is on from now on.') }),
  /** What the network has, and what is published of it. */
  DescribeNetwork: closed({ network }),
} as const;

export const HOST_OPERATIONS = {
  /** An injected fault: nothing more is asked of controllers of peers, until it is off again (R2-9). */
  HoldSubscriptions: closed({ on: Type.Boolean() }),
  /** What the switcher has, and what the host follows. */
  DescribeHost: closed({}),
} as const;

export const ENDPOINT_OPERATIONS = {
  Probe: probeOperation,
  /** As live migration does it: the machine goes on at the other host, with its addresses and its connections. */
  Migrate: closed({ to: text('Host that it has a link to.') }),
} as const;

export const SITE_OPERATIONS = {
  Probe: probeOperation,
  /** By BGP: these prefixes, and no others. */
  AnnounceRoutes: closed({ prefixes: Type.Array(text('Prefix.')) }),
} as const;

export const EMULATOR_OPERATIONS = {
  /** Hosts that have a row of the address they follow, with the host that it says, and when the first and the last of them had it. */
  DescribeEmulated: closed({ host: text('Host that the row must say.') }),
} as const;

export const OPERATIONS: Readonly<Record<Role, Readonly<Record<string, TSchema>>>> = {
  controller: CONTROLLER_OPERATIONS,
  host: HOST_OPERATIONS,
  endpoint: ENDPOINT_OPERATIONS,
  site: SITE_OPERATIONS,
  emulator: EMULATOR_OPERATIONS,
};
