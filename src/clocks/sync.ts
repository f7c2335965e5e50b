/** Programs that set the clocks of a rig by each other: ptp4l (and phc2sys where NICs stamp), chrony where there is no ptp4l. */
import { sleep } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { Host, HostProcess } from '../rig/hosts/host.ts';
import type { SyncKind } from '../topology/model.ts';

export interface ClockedMachine {
  readonly name: string;
  readonly host: Host;
  readonly device: string;
  readonly address: string;
}

const DIR = '/run/netrig-clocks';
/** Not the default: a PTP domain of the site's own is left alone. */
const DOMAIN = 42;
/** They end with whoever started them, however that dies: a lab's journal has no say over the clocks of a machine. */
const DAEMON = ['setpriv', '--pdeathsig', 'KILL', 'chrt', '--fifo', '10'];

/**
 * Fast to settle and quiet afterwards on software stamps (measured: median 20–50 µs within 3 s of a start 250 ms off;
 * linuxptp's defaults take a minute, and do not undo a step in the middle of a run).
 */
export function ptpConfig(leads: boolean, hardware: boolean): string {
  return `[global]
domainNumber ${DOMAIN}
time_stamping ${hardware ? 'hardware' : 'software'}
network_transport UDPv4
delay_mechanism E2E
logSyncInterval -3
logMinDelayReqInterval -3
logAnnounceInterval -2
delay_filter_length 32
clock_servo linreg
tsproc_mode filter_weight
step_threshold 0.002
first_step_threshold 0.00002
sanity_freq_limit 0
summary_interval 3
priority1 ${leads ? 10 : 250}
${leads ? '' : 'slaveOnly 1\n'}uds_address ${DIR}/ptp4l
`;
}

export function chronyConfig(leader: string | null): string {
  const source =
    leader === null
      ? 'local stratum 8\nallow all\n'
      : `server ${leader} iburst minpoll -3 maxpoll -1 xleave\nmakestep 0.002 -1\nmaxupdateskew 1000\n`;
  return `${source}cmdport 0\npidfile ${DIR}/chronyd.pid\nbindcmdaddress /\n`;
}

/** Running until they are killed; `notes` says what was found and chosen. */
export interface Synchronisation {
  readonly kind: SyncKind;
  readonly notes: readonly string[];
  readonly processes: readonly HostProcess[];
}

export async function startSync(wanted: SyncKind, leader: ClockedMachine, followers: readonly ClockedMachine[]): Promise<Synchronisation> {
  if (wanted === 'none') return { kind: 'none', notes: ['not synchronised by netrig'], processes: [] };
  const all = [leader, ...followers];
  const has = async (program: string) =>
    (
      await Promise.all(
        all.map(
          async ({ host }) =>
            (await host.exec(['sh', '-c', `PATH=$PATH:/usr/sbin:/sbin; command -v "$1"`, 'sh', program], { allowFailure: true }))
              .exitCode === 0,
        ),
      )
    ).every(Boolean);
  if (wanted === 'ptp' && (await has('ptp4l'))) return startPtp(leader, followers);
  if (await has('chronyd'))
    return startChrony(leader, followers, wanted === 'ptp' ? ['ptp4l is not on every machine: chrony instead'] : []);
  throw new NetrigError('CAPABILITY_MISSING', `neither ptp4l nor chronyd is on every machine of the rig`, {
    hint: 'apt install linuxptp on each, or clocks: { sync: none } where they are synchronised already',
  });
}

async function startPtp(leader: ClockedMachine, followers: readonly ClockedMachine[]): Promise<Synchronisation> {
  const notes: string[] = [];
  const processes = await Promise.all(
    [leader, ...followers].map(async ({ name, host, device }, i) => {
      const hardware = /hardware-transmit[\s\S]*PTP Hardware Clock: \d/.test(
        (await host.exec(['ethtool', '-T', device], { allowFailure: true })).stdout,
      );
      notes.push(`${name}: ptp4l on ${device}, ${hardware ? 'hardware' : 'software'} time stamps${i === 0 ? ', grandmaster' : ''}`);
      await host.exec(['mkdir', '-p', DIR]);
      await host.put(`${DIR}/ptp4l.conf`, ptpConfig(i === 0, hardware));
      const ptp = host.spawn([...DAEMON, 'ptp4l', '-f', `${DIR}/ptp4l.conf`, '-i', device, '-m', '-q']);
      // The clock of the NIC follows the system's on the grandmaster, and leads it elsewhere.
      const [from, to] = i === 0 ? ['CLOCK_REALTIME', device] : [device, 'CLOCK_REALTIME'];
      return hardware
        ? [
            ptp,
            host.spawn([
              ...DAEMON,
              'phc2sys',
              '-s',
              from,
              '-c',
              to,
              '-O',
              '0',
              '-R',
              '8',
              '-S',
              '0.002',
              '-n',
              String(DOMAIN),
              '-z',
              `${DIR}/ptp4l`,
              '-m',
              '-q',
            ]),
          ]
        : [ptp];
    }),
  );
  return { kind: 'ptp', notes, processes: await started(processes.flat()) };
}

async function startChrony(
  leader: ClockedMachine,
  followers: readonly ClockedMachine[],
  notes: readonly string[],
): Promise<Synchronisation> {
  const processes = await Promise.all(
    [leader, ...followers].map(async ({ host }, i) => {
      await host.exec(['mkdir', '-p', DIR]);
      await host.put(`${DIR}/chrony.conf`, chronyConfig(i === 0 ? null : leader.address));
      return host.spawn([...DAEMON, 'chronyd', '-d', '-f', `${DIR}/chrony.conf`]);
    }),
  );
  return { kind: 'chrony', notes: [...notes, `chrony, ${leader.name} is the server`], processes: await started(processes) };
}

/** A program that cannot start says why at once. */
const START_MS = 700;
const KEPT_OUTPUT = 2000;

/** Reads what they say, which would stop them otherwise; CAPABILITY_MISSING if one ends right away. */
async function started(processes: readonly HostProcess[]): Promise<readonly HostProcess[]> {
  await Promise.all(
    processes.map(async ({ stdout, stderr, exited }) => {
      let said = '';
      for (const stream of [stdout, stderr])
        stream.setEncoding('utf8').on('data', (text: string) => {
          said = (said + text).slice(-KEPT_OUTPUT);
        });
      const ended = await Promise.race([exited, sleep(START_MS)]);
      if (ended)
        throw new NetrigError(
          'CAPABILITY_MISSING',
          `clocks cannot be synchronised: ${said.trim() || `a program ended with ${ended.signal ?? ended.code}`}`,
          { hint: 'clocks: { sync: none } where they are synchronised already' },
        );
    }),
  );
  return processes;
}
