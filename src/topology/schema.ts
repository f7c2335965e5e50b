/**
 * The one JSON Schema of a topology file: source of the TypeScript types below, of validation (ajv)
 * and of editor completion (`netrig schema`, lab/topology.schema.json).
 */
import { Type, type Static } from 'typebox';
import type { DeepReadonly } from '../core/readonly.ts';
import { QUEUE_PATTERN, RATE_PATTERN, SIZE_PATTERN } from '../core/units.ts';
import { CAPABILITIES, NODE_KINDS } from './model.ts';
import { targetSchema, when } from './target.ts';
import {
  NAME,
  NAMES,
  RANGE,
  closed,
  duration,
  interfaceName,
  ipv4,
  labels,
  name,
  names,
  oneOrMany,
  opt,
  pattern,
  percent,
  rate,
  record,
  recordOf,
  text,
} from '../core/config/parts.ts';

const impairmentFields = {
  rate: opt(
    pattern(
      `(${RATE_PATTERN})|^none$`,
      'a rate such as "100Mbit", or "none"',
      'Rate of the link (HTB), counted in layer-2 frame bytes; none: not limited.',
    ),
  ),
  delay: opt(duration('One-way propagation delay.')),
  jitter: opt(duration('Uniform variation around the delay, ± this much; packets keep their order.')),
  loss: opt(percent('Independent random loss.')),
  queue: opt(
    pattern(
      QUEUE_PATTERN,
      'a queue depth such as "64KB", "100packets" or "20ms"',
      'Queue depth in front of the rate limit. Derived from rate × delay unless given.',
    ),
  ),
};
const impairment = Type.Object(impairmentFields, {
  additionalProperties: false,
  description: 'Overrides for the direction from the second endpoint to the first.',
});

const macPattern = pattern(
  '^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$',
  'a MAC address such as "02:00:00:00:00:01"',
  'MAC address; assigned by netrig unless given.',
);
const cidrPattern = pattern(
  '^([0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}|[0-9a-fA-F:]+/[0-9]{1,3}|auto|none)$',
  'an address such as "10.0.0.1/24", "auto" or "none"',
  'Address of the interface. Nodes of kind linux get one by themselves; "none" leaves the interface bare. On a switch node, an address makes the interface the node\'s own instead of a port of the switch.',
);

const endpointObject = closed({
  node: names('Node name.'),
  interface: interfaceName('Interface name in the node.'),
  mac: opt(macPattern),
  ipv4: opt(cidrPattern),
});
const endpoint = Type.Union([
  pattern(
    `^[a-zA-Z][a-zA-Z0-9_-]{0,31}${RANGE}:[a-zA-Z][a-zA-Z0-9_.-]{0,14}${RANGE}$`,
    'an endpoint "node:interface"',
    "Endpoint in containerlab's short form; ranges in both ends run side by side.",
  ),
  endpointObject,
]);

const link = closed(
  {
    type: opt(Type.Literal('veth', { description: 'Link type; veth is the one that this version wires.' })),
    endpoints: Type.Array(endpoint, { minItems: 2, maxItems: 2 }),
    mtu: opt(Type.Integer({ minimum: 68, maximum: 65535 })),
    labels: opt(labels),
    vars: opt(record(Type.Unknown())),
    ...impairmentFields,
    reverse: opt(impairment),
  },
  { description: 'A point-to-point link. Impairments hold for both directions unless `reverse` says otherwise.' },
);

const nodeInterface = closed({ address: opt(cidrPattern), mac: opt(macPattern) });

const nodeFields = {
  kind: opt(Type.Enum(NODE_KINDS, { description: 'linux: a host. bridge: a Linux bridge. ovs-bridge: an Open vSwitch of its own.' })),
  group: opt(text('Group whose settings this node inherits.')),
  separate: opt(
    Type.Boolean({
      description:
        'ovs-bridge: its ports are segments of their own, whose addresses may overlap, and it forwards nothing until an agent tells it to.',
    }),
  ),
  labels: opt(labels),
  sysctls: opt(
    record(Type.Union([Type.String(), Type.Number()]), { description: "Sysctls set inside the node's network namespace (net.* only)." }),
  ),
  exec: opt(Type.Array(Type.String(), { description: 'Commands run in the node after deploy, split at blanks (no shell).' })),
  interfaces: opt(record(nodeInterface, { description: 'Settings per interface.' })),
  place: opt(
    record(Type.String(), {
      description: 'Labels that the host of a rig must have to carry this node, e.g. { rack: left }. Without a rig file, of no effect.',
    }),
  ),
  needs: opt(
    Type.Array(Type.Enum([...CAPABILITIES]), { description: 'Capabilities that the host of a rig must have to carry this node.' }),
  ),
  privileged: opt(
    Type.Boolean({
      description:
        'The node changes its kernel settings or loads programs into the kernel: a container gets the rights for it. Without containers, of no effect.',
    }),
  ),
  // containerlab's container-only keys: read everywhere, used where the rig is Docker.
  image: opt(Type.String()),
  'image-pull-policy': opt(Type.String()),
  cmd: opt(Type.String()),
  entrypoint: opt(Type.String()),
  env: opt(record(Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
  'env-files': opt(Type.Array(Type.String())),
  binds: opt(Type.Array(Type.String())),
  ports: opt(Type.Array(Type.String())),
  user: opt(Type.String()),
  type: opt(Type.String()),
  'startup-config': opt(Type.String()),
  license: opt(Type.String()),
  'network-mode': opt(Type.String()),
  'mgmt-ipv4': opt(Type.String()),
  'mgmt-ipv6': opt(Type.String()),
  memory: opt(pattern(SIZE_PATTERN, 'a size such as "512MB"', 'Memory of the container.')),
  cpu: opt(Type.Number()),
  'cpu-set': opt(Type.String()),
  runtime: opt(Type.String()),
  position: opt(Type.String()),
  'auto-remove': opt(Type.Boolean()),
  'restart-policy': opt(Type.String()),
  'startup-delay': opt(Type.Number()),
};
const node = closed(nodeFields);

const flowFields = {
  name: opt(name('Name of the flow, used by targets; derived from its ends unless given.')),
  from: opt(oneOrMany(names('Sending node, or several.'))),
  to: opt(oneOrMany(names('Receiving node, or several.'))),
  matrix: opt(Type.Array(names('Node.'), { minItems: 1, description: 'Shorthand: a flow between every ordered pair of these nodes.' })),
  protocol: opt(Type.Enum(['tcp', 'udp'], { description: 'Default tcp.' })),
  tool: opt(
    Type.Enum(['iperf3', 'netperf', 'mgen', 'prober'], {
      description:
        'Default iperf3. netperf is used where it is installed. mgen: UDP floods that start and stop on time, for it has no control connection that the flood could starve. prober: request/response latency.',
    }),
  ),
  rate: opt(rate('Offered rate; UDP needs one, TCP is greedy without. For the prober: no rate, see `interval`.')),
  parallel: opt(Type.Integer({ minimum: 1, maximum: 128, description: 'Parallel streams.' })),
  size: opt(pattern(SIZE_PATTERN, 'a size such as "1400B"', 'UDP payload, or request size of the prober.')),
  interval: opt(duration('Prober: time between requests (default 10ms).')),
  burst: opt(
    closed(
      { every: duration('Time from the start of one burst to the start of the next.'), for: duration('Length of a burst.') },
      { description: 'mgen: sends at `rate` in bursts only.' },
    ),
  ),
  cast: opt(
    Type.Enum(['unicast', 'multicast'], {
      description:
        'mgen: multicast sends to a group that `to` joins; switches give it to everyone in the segment, as they do a broadcast (default unicast).',
    }),
  ),
  address: opt(ipv4('Address that `to` is reached at, where it is not its own (behind a NAT).')),
  start: opt(duration('Start, relative to the phase (default 0s).')),
  duration: opt(duration('How long it sends (default: to the end of the phase).')),
  congestion: opt(Type.String({ description: "TCP congestion control of the sender (default: the node's)." })),
};

const flow = closed(flowFields);

const at = duration('When, relative to the phase.');
const endpointText = (description: string) =>
  pattern('^[a-zA-Z][a-zA-Z0-9_-]{0,31}:[a-zA-Z][a-zA-Z0-9_.-]{0,14}$', 'an endpoint "node:interface"', description);
const nodes = (description: string) => oneOrMany(names(description));
const event = Type.Union(
  [
    closed({
      at,
      kill: name('Node whose agents are killed (SIGKILL).'),
      for: opt(duration('How long until they are started again (default: at once).')),
    }),
    closed({ at, pause: name('Node whose agents are stopped (SIGSTOP).'), for: duration('How long until they go on.') }),
    closed({ at, down: endpointText('Link end that goes down.'), for: duration('How long until it comes up again.') }),
    closed({
      at,
      impair: endpointText('End of a link that declares a delay, jitter or loss.'),
      delay: opt(duration('New one-way delay.')),
      jitter: opt(duration('New jitter.')),
      loss: opt(percent('New loss.')),
      direction: opt(Type.Enum(['out', 'in', 'both'], { description: 'As the node sees it (default both).' })),
      over: opt(duration('Changes in small steps for this long (default: at once).')),
    }),
    closed({
      at,
      request: closed(
        {
          system: name('System.'),
          node: name('Node whose agent is asked.'),
          operation: text('Operation of that agent.'),
          params: opt(record(Type.Unknown(), { description: 'Its parameters.' })),
        },
        { description: "An operation of a system's own interface." },
      ),
      every: opt(duration('Asked again so often, until `until` (default: once).')),
      until: opt(duration('End of repeated requests, relative to the phase.')),
      expect: opt(Type.String({ description: 'The code of the error that it must be refused with (default: it must succeed).' })),
      answer: opt(
        record(Type.Unknown(), { description: 'What the answer must hold, as far as it is given here; lists must be the same.' }),
      ),
    }),
    closed({
      at,
      configure: record(record(Type.Unknown()), {
        description: 'System to a JSON merge patch of its config; its agents adopt it while they run.',
      }),
    }),
    closed({ at, leave: nodes('Host that is unplugged: its links go down, and the systems are told that it is gone.') }),
    closed({ at, join: nodes('Host that is plugged in again.') }),
    closed({
      at,
      churn: nodes('Host that leaves and joins, in turn with the others.'),
      every: duration('Time between two changes.'),
      until: duration('End, relative to the phase; all have joined again then.'),
    }),
  ],
  { description: 'Something that happens while the traffic runs.' },
);

const phase = closed({
  phase: name('Name of the phase.'),
  duration: duration('How long the phase lasts.'),
  flows: opt(Type.Array(flow)),
  events: opt(Type.Array(event)),
});

const variant = record(Type.Unknown(), { description: 'A JSON merge patch (RFC 7386) of this file: vars, systems, traffic, …' });

export const topologySchema = closed(
  {
    name: name('Name of the lab.'),
    description: opt(text('What this experiment shows.')),
    prefix: opt(Type.String({ description: 'containerlab: container name prefix; read, used where the rig is Docker.' })),
    mgmt: opt(record(Type.Unknown(), { description: 'containerlab: management network; read, used where the rig is Docker.' })),
    vars: opt(
      record(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
        description: 'Values for ${name} and ${name * 0.5}; --set overrides them.',
      }),
    ),
    topology: closed(
      {
        defaults: opt(node),
        kinds: opt(record(node)),
        groups: opt(record(node)),
        nodes: recordOf(NAMES, Type.Union([node, Type.Null()]), {
          minProperties: 1,
          description: 'Nodes by name; "b{1..9}" is nine alike.',
        }),
        links: opt(Type.Array(link)),
      },
      { description: 'Nodes and links, as containerlab reads them.' },
    ),
    linktest: opt(
      closed({
        'rate-tolerance': opt(percent('Allowed deviation of a measured rate (default 5%).')),
        'delay-tolerance': opt(
          duration('Allowed deviation of a measured one-way delay (default 1ms, or 10 % of the delay if that is more).'),
        ),
        skip: opt(Type.Boolean({ description: 'Only check reachability.' })),
      }),
    ),
    clocks: opt(
      closed(
        {
          'max-offset': opt(
            duration(
              'Largest difference between the clocks of the machines of a rig, its bound included (default 10ms, the finest window of any check); the run is refused outside it, and what is measured meanwhile is inconclusive.',
            ),
          ),
          sync: opt(
            Type.Enum(['ptp', 'chrony', 'none'], {
              description:
                'How netrig synchronises them (default: what the rig file says, else ptp; chrony where there is no ptp4l). none: somebody else does.',
            }),
          ),
          settle: opt(duration('How long they may take to come within it (default 60s).')),
          grandmaster: opt(name('Node whose machine leads (default: the rig file decides).')),
        },
        { description: 'Clocks of the machines of a rig. Nodes on one machine share its clock: their bound is zero.' },
      ),
    ),
    systems: opt(
      record(
        closed({
          on: oneOrMany(names('Node that runs an agent of the system.')),
          crash: opt(
            Type.Enum(['void', 'restart'], { description: 'What a crash of an agent does: void the run (default) or restart the agent.' }),
          ),
          config: opt(record(Type.Unknown(), { description: "Configuration; its own schema is the system's." })),
        }),
        { description: 'Systems under test, by the name of their folder in agents/.' },
      ),
    ),
    traffic: opt(Type.Array(phase, { description: 'Phases, one after the other.' })),
    capture: opt(
      Type.Array(
        closed({
          at: pattern(
            `^[a-zA-Z][a-zA-Z0-9_-]{0,31}${RANGE}:[a-zA-Z][a-zA-Z0-9_.-]{0,14}${RANGE}$`,
            'a capture point "node:interface", or a range such as "p{1..4}:eth0"',
            'Where.',
          ),
          direction: opt(Type.Enum(['in', 'out', 'both'], { description: 'Direction as the node sees it (default both).' })),
          filter: opt(text('BPF filter, as tcpdump writes it.')),
          snap: opt(pattern(SIZE_PATTERN, 'a size such as "96B"', 'Bytes kept of each packet (default 96B).')),
          when: opt(when),
        }),
      ),
    ),
    targets: opt(Type.Array(targetSchema)),
    saturation: opt(percent('Host CPU (all cores) above which a cell is inconclusive (default 95%).')),
    repeat: opt(Type.Integer({ minimum: 1, maximum: 1000, description: 'Repeats of every cell.' })),
    'until-decided': opt(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description:
          'Cells with an undecided measurement are repeated, at most this often, together with the cells that they are compared with.',
      }),
    ),
    matrix: opt(
      recordOf(NAME, recordOf(NAME, Type.Union([variant, Type.Null()]), { minProperties: 1 }), {
        description: 'Cross product of variants: every dimension maps values to a merge patch of this file.',
      }),
    ),
  },
  { description: 'A netrig topology: a lab, the systems in it, its traffic and its targets.' },
);

export type TopologyFile = DeepReadonly<Static<typeof topologySchema>>;
export type NodeSettings = DeepReadonly<Static<typeof node>>;
export type LinkFile = DeepReadonly<Static<typeof link>>;
export type ImpairmentFile = DeepReadonly<Static<typeof impairment>>;
export type FlowFile = DeepReadonly<Static<typeof flow>>;
export type EventFile = DeepReadonly<Static<typeof event>>;
