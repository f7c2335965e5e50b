/** The one JSON Schema of a rig file (lab/rigs/*.yaml): machines, how they are reached, what they are cabled to. */
import { Type, type Static } from 'typebox';
import { SIZE_PATTERN } from '../core/units.ts';
import { DEVICE, NAME, closed, duration, labels, name, opt, pattern, percent, record, recordOf } from '../core/config/parts.ts';

const port = Type.Integer({ minimum: 1, maximum: 65535, description: 'TCP port (default 22).' });
const address = (description: string) => pattern('^[a-zA-Z0-9][a-zA-Z0-9.:-]*$', 'a host name or an IP address', description);
const device = (description: string) => pattern(DEVICE.pattern, DEVICE.expectation, description);

const ssh = closed(
  {
    address: opt(address('Name or address of the machine.')),
    port: opt(port),
    user: opt(pattern('^[a-z_][a-z0-9_-]{0,31}$', 'a user name', 'User (default: the one who runs netrig).')),
    key: opt(
      Type.String({
        description:
          'Private key file; ~ is your home. Without one, the keys of your SSH agent are offered, then ~/.ssh/id_ed25519 and id_rsa.',
      }),
    ),
    'host-key': opt(
      pattern(
        '^(ssh-|ecdsa-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$',
        'a public key such as "ssh-ed25519 AAAA…"',
        "The machine's public key. Without one, known_hosts decides. A key that is in neither is refused.",
      ),
    ),
    'known-hosts': opt(Type.String({ description: 'known_hosts file (default ~/.ssh/known_hosts).' })),
    jump: opt(name('Host of this file that the connection goes through.')),
    sudo: opt(Type.Boolean({ description: 'The user is not root and may use sudo without a password.' })),
  },
  { description: 'A machine that is reached over SSH.' },
);

const vm = closed(
  {
    memory: opt(pattern(SIZE_PATTERN, 'a size such as "1GiB"', 'Memory (default 768MiB).')),
    cores: opt(Type.Integer({ minimum: 1, maximum: 64, description: 'Virtual CPUs (default 1).' })),
    'shared-page': opt(
      Type.Boolean({
        description: 'Share a page of memory with the machine that netrig runs on, to compare clocks with the truth (tests of clocks).',
      }),
    ),
  },
  { description: 'A virtual machine that `netrig rig up` boots and `netrig rig down` removes.' },
);

const host = closed({
  ssh: opt(ssh),
  vm: opt(vm),
  local: opt(Type.Literal(true, { description: 'The machine that netrig runs on.' })),
  carries: opt(
    Type.Enum(['namespaces', 'containers', 'one-node'], {
      description:
        "namespaces: every node is a network namespace (default). containers: nodes of kind linux are containers of the machine's engine. one-node: the whole machine is one node.",
    }),
  ),
  engine: opt(
    Type.String({ description: 'Socket of the Docker Engine (default /var/run/docker.sock); "own": one that netrig starts at `rig up`.' }),
  ),
  image: opt(Type.String({ description: 'Image of containers (default: the one that `netrig image build` makes).' })),
  labels: opt(labels),
  data: opt(
    closed({
      device: device('NIC on the data network, which carries the links between machines.'),
      address: opt(address('Its address (default: the first that it has).')),
    }),
  ),
  nics: opt(
    recordOf(
      DEVICE,
      closed({
        cable: pattern(
          '^[a-zA-Z][a-zA-Z0-9_-]{0,31}:[a-zA-Z][a-zA-Z0-9_.-]{0,14}$',
          'a NIC "host:device"',
          'NIC at the other end of the cable.',
        ),
      }),
      { description: 'NICs that labs may use, by device.' },
    ),
  ),
  state: opt(pattern('^/[A-Za-z0-9/_.+-]+$', 'an absolute path', 'Folder of the journal on this machine (default /run/netrig).')),
  clock: opt(
    closed({
      grandmaster: opt(Type.Boolean({ description: "The others follow this machine's clock (default: the first host)." })),
      device: opt(device('NIC that PTP runs on (default: the one of the data network).')),
    }),
  ),
});

export const rigSchema = closed(
  {
    name: name('Name of the rig.'),
    description: opt(Type.String()),
    defaults: opt(closed({ ssh: opt(ssh), vm: opt(vm) }, { description: 'Settings of every host that does not say otherwise.' })),
    vars: opt(
      record(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
        description:
          'Values for variables of topologies that declare them: what this rig can carry, e.g. { link: 10Mbit }. --set overrides them.',
      }),
    ),
    sync: opt(
      Type.Enum(['ptp', 'chrony', 'none'], {
        description: 'How netrig synchronises the clocks, where a topology does not say (default ptp).',
      }),
    ),
    linktest: opt(
      closed(
        {
          'rate-tolerance': opt(percent('Added to what topologies tolerate.')),
          'delay-tolerance': opt(duration('Added to what topologies tolerate: what the way through these machines costs by itself.')),
        },
        { description: "What links of this rig may deviate beyond a topology's own tolerance, because of the machines." },
      ),
    ),
    hosts: recordOf(NAME, host, { minProperties: 1, description: 'Machines by name.' }),
  },
  { description: 'A netrig rig: machines, how they are reached, what they are cabled to.' },
);

export type RigFile = Static<typeof rigSchema>;
export type HostFile = Static<typeof host>;
export type SshFile = Static<typeof ssh>;
