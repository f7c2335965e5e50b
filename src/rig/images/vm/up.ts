/** Boots the virtual machines of a rig, and removes them: wires in a namespace of their own, one interface here that leads to them. */
import { createHash, randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  truncateSync,
  closeSync,
  openSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { sleep, stage, throwIfAborted, type Context } from '../../../core/context.ts';
import { NetrigError } from '../../../core/errors.ts';
import { CACHE_DIR, requirePrograms } from '../debian.ts';
import { LocalHost } from '../../hosts/local.ts';
import { NETNS_DIR } from '../../labs/names.ts';
import type { RigHost, RigPlan } from '../../rigfile.ts';
import { VM_DATA_DEVICE } from '../../rigfile.ts';
import { localRuntime } from '../../machines/ssh/runtime.ts';
import { cpioOf, vmImage, type VmImage } from './image.ts';
import { identityEnv, qemuArguments, SHARED_PAGE_BYTES, type Accelerator, type VmNic } from './qemu.ts';
import { removeRigState, rigDir, writeRigState, type RigState, type VmRecord } from './state.ts';

/** VXLAN with frames of 1500 bytes fits. */
const DATA_MTU = 1600;
const MGMT_MTU = 1500;
/** Frames to the nearest-bridge address pass: a bridge with two ports stands for a cable here (group_fwd_mask, bit 14). */
const LIKE_A_CABLE = 'group_fwd_mask 0x4000';
const BOOT_TIMEOUT_MS = 400_000;
/** A guest that KVM can run is up by then. */
const KVM_TIMEOUT_MS = 20_000;
const POLL_MS = 100;

type VmHost = RigHost & { readonly access: Extract<RigHost['access'], { kind: 'vm' }> };
const vmsOf = (rig: RigPlan): VmHost[] => rig.hosts.filter((h): h is VmHost => h.access.kind === 'vm');

export async function bootVms(ctx: Context, rig: RigPlan): Promise<void> {
  const vms = vmsOf(rig);
  if (vms.length === 0) return;
  requirePrograms(['qemu-system-x86_64', 'mksquashfs', 'cpio', 'ssh-keygen']);
  const image = await vmImage(ctx);
  const runtime = await runtimeImage();
  const state = await prepare(rig, vms);
  await stage(
    ctx,
    'boot',
    async () => {
      await wire(rig, state, vms);
      const accelerator = accelerators()[0] as Accelerator;
      await Promise.all(vms.map((vm, i) => start({ rig, state, image, runtime, vm, index: i, accelerator })));
      try {
        await untilReachable(ctx, rig, state, accelerator === 'kvm' ? KVM_TIMEOUT_MS : BOOT_TIMEOUT_MS);
      } catch (error) {
        if (accelerator !== 'kvm' || ctx.signal.aborted) throw error;
        // There are machines whose KVM runs no stock guest.
        ctx.events.emit({ type: 'note', level: 'warn', text: 'KVM is there but the guests do not come up with it: emulating' });
        await killVms(state);
        await Promise.all(vms.map((vm, i) => start({ rig, state, image, runtime, vm, index: i, accelerator: 'tcg' })));
        await untilReachable(ctx, rig, state, BOOT_TIMEOUT_MS);
      }
    },
    { detail: `${vms.length} virtual machines, ${accelerators()[0] === 'kvm' ? 'KVM' : 'emulated'}` },
  );
}

/** What can be tried, best first. */
export function accelerators(): Accelerator[] {
  const forced = process.env['NETRIG_VM_ACCEL'];
  if (forced === 'kvm' || forced === 'tcg') return [forced];
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return /^flags.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')) ? ['kvm', 'tcg'] : ['tcg'];
  } catch {
    return ['tcg'];
  }
}

/** Node and the helpers as a read-only disk, so that nothing of it is uploaded. */
async function runtimeImage(): Promise<{ hash: string; file: string }> {
  const { hash, dir } = localRuntime();
  const file = join(CACHE_DIR, 'vm', `runtime-${hash}.squashfs`);
  if (!existsSync(file)) {
    const draft = `${file}.${process.pid}`;
    await execa('mksquashfs', [dir, draft, '-comp', 'lz4', '-noappend', '-no-progress', '-quiet'], { stdout: 'ignore' });
    await execa('mv', [draft, file]);
  }
  return { hash, file };
}

/** Names, addresses and keys, all on disk before anything is made. */
async function prepare(rig: RigPlan, vms: readonly VmHost[]): Promise<RigState> {
  const dir = rigDir(rig.name);
  try {
    mkdirSync(join(dir, '..'), { recursive: true, mode: 0o700 });
    mkdirSync(dir, { mode: 0o700 });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    throw new NetrigError('LAB_EXISTS', `rig "${rig.name}" is up already`, {
      hint: `netrig rig status ${rig.path}, netrig rig down ${rig.path}`,
    });
  }
  const keyFile = join(dir, 'key');
  await makeKey(keyFile, 'netrig');
  const subnet = freeSubnet();
  const seed = createHash('sha256')
    .update(`${rig.name} ${rigDir(rig.name)}`)
    .digest();
  const records: [string, VmRecord][] = [];
  for (const [i, vm] of vms.entries()) {
    const own = join(dir, vm.name);
    mkdirSync(join(own, 'identity/netrig'), { recursive: true });
    const key = join(own, 'identity/netrig/ssh_host_ed25519_key');
    await makeKey(key, vm.name);
    const sharedPage = vm.access.sharedPage ? `/dev/shm/netrig.${rig.name}.${vm.name}` : null;
    records.push([
      vm.name,
      {
        address: `${subnet}.${10 + i}`,
        mac: macOf(seed, 0, i),
        hostKey: readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' '),
        dir: own,
        sharedPage,
      },
    ]);
  }
  const state: RigState = {
    rig: rig.name,
    path: rig.path,
    createdAt: new Date().toISOString(),
    keyFile,
    namespace: `nr.+rig.${rig.name}`,
    uplink: `nrr${seed.toString('hex', 0, 4)}`,
    vms: Object.fromEntries(records),
  };
  writeRigState(state);
  return state;
}

const makeKey = async (file: string, comment: string): Promise<void> => {
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file]);
};
const macOf = (seed: Buffer, network: number, index: number): string =>
  [
    '02',
    seed.toString('hex', 0, 1),
    seed.toString('hex', 1, 2),
    seed.toString('hex', 2, 3),
    network.toString(16).padStart(2, '0'),
    index.toString(16).padStart(2, '0'),
  ].join(':');

/** A /24 that this machine has no interface in. */
function freeSubnet(): string {
  const routes = readFileSync('/proc/net/fib_trie', 'utf8');
  for (let n = 1; n < 255; n++) if (!routes.includes(`10.231.${n}.`)) return `10.231.${n}`;
  throw new NetrigError('STEP_FAILED', 'no free network between 10.231.1.0/24 and 10.231.254.0/24 for the virtual machines');
}

interface Wire {
  readonly bridge: string;
  readonly mtu: number;
  readonly taps: readonly string[];
}

const tapOf = (network: string, index: number): string => `${network}t${index}`;

/** The management network, the data network, and one for each cable. */
function wiresOf(rig: RigPlan, vms: readonly VmHost[]): Wire[] {
  const names = vms.map((vm) => vm.name);
  return [
    { bridge: 'mgmt', mtu: MGMT_MTU, taps: names.map((_, i) => tapOf('m', i)) },
    { bridge: 'data', mtu: DATA_MTU, taps: names.map((_, i) => tapOf('d', i)) },
    ...cablesOf(rig, names).map((ends, c) => ({
      bridge: `cable${c}`,
      mtu: DATA_MTU,
      taps: ends.map((end) => tapOf(`c${c}`, names.indexOf(end.host))),
    })),
  ];
}

const cablesOf = (rig: RigPlan, names: readonly string[]) =>
  rig.cables.map((c) => c.ends).filter((ends) => ends.every((end) => names.includes(end.host)));

function nicsOf(rig: RigPlan, state: RigState, vms: readonly VmHost[], index: number): VmNic[] {
  const vm = vms[index] as VmHost;
  const seed = createHash('sha256').update(state.uplink).digest();
  const names = vms.map((v) => v.name);
  return [
    {
      name: 'mgmt0',
      tap: tapOf('m', index),
      mac: (state.vms[vm.name] as VmRecord).mac,
      mtu: MGMT_MTU,
      address: `${(state.vms[vm.name] as VmRecord).address}/24`,
    },
    { name: VM_DATA_DEVICE, tap: tapOf('d', index), mac: macOf(seed, 1, index), mtu: DATA_MTU, address: `10.99.0.${index + 1}/24` },
    ...cablesOf(rig, names).flatMap((ends, c) =>
      ends
        .filter((end) => end.host === vm.name)
        .map((end) => ({ name: end.nic, tap: tapOf(`c${c}`, index), mac: macOf(seed, 2 + c, index), mtu: DATA_MTU, address: null })),
    ),
  ];
}

async function wire(rig: RigPlan, state: RigState, vms: readonly VmHost[]): Promise<void> {
  const { namespace, uplink } = state;
  const inside: string[] = ['link set dev lo up'];
  for (const { bridge, mtu, taps } of wiresOf(rig, vms)) {
    inside.push(
      `link add name ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0${bridge.startsWith('cable') ? ` ${LIKE_A_CABLE}` : ''}`,
      `link set dev ${bridge} addrgenmode none mtu ${mtu} up`,
    );
    for (const tap of taps)
      inside.push(`tuntap add dev ${tap} mode tap vnet_hdr`, `link set dev ${tap} addrgenmode none mtu ${mtu} master ${bridge} up`);
  }
  inside.push('link set dev up0 addrgenmode none master mgmt up');
  const gateway = `${(Object.values(state.vms)[0] as VmRecord).address.replace(/\.\d+$/, '')}.1/24`;
  const outside = [
    `netns add ${namespace}`,
    `link add name ${uplink} type veth peer name up0 netns ${namespace}`,
    `link set dev ${uplink} addrgenmode none`,
    `addr add ${gateway} dev ${uplink}`,
    `link set dev ${uplink} up`,
    ...Object.values(state.vms).map((vm) => `neigh replace ${vm.address} lladdr ${vm.mac} dev ${uplink} nud permanent`),
  ];
  const here = new LocalHost();
  await here.exec(['ip', '-batch', '-'], { stdin: `${outside.join('\n')}\n` });
  await here.exec(['ip', '-n', namespace, '-batch', '-'], { stdin: `${inside.join('\n')}\n` });
}

interface StartInput {
  readonly rig: RigPlan;
  readonly state: RigState;
  readonly image: VmImage;
  readonly runtime: { readonly hash: string; readonly file: string };
  readonly vm: VmHost;
  readonly index: number;
  readonly accelerator: Accelerator;
}

async function start({ rig, state, image, runtime, vm, index, accelerator }: StartInput): Promise<void> {
  const record = state.vms[vm.name] as VmRecord;
  const identity = join(record.dir, 'identity/netrig');
  const nics = nicsOf(rig, state, vmsOf(rig), index);
  const uplinkMac = readFileSync(`/sys/class/net/${state.uplink}/address`, 'utf8').trim();
  writeFileSync(join(identity, 'authorized_keys'), readFileSync(`${state.keyFile}.pub`));
  writeFileSync(
    join(identity, 'identity.env'),
    identityEnv({
      name: vm.name,
      machineId: randomUUID().replaceAll('-', ''),
      address: `${record.address}/24`,
      neighbour: { address: record.address.replace(/\.\d+$/, '.1'), mac: uplinkMac },
      runtime: runtime.hash,
      nics,
    }),
  );
  const initrd = join(record.dir, 'initrd');
  // A cpio archive is padded to 512 bytes, so the compressed one may follow.
  writeFileSync(initrd, Buffer.concat([await cpioOf(join(record.dir, 'identity')), readFileSync(image.initramfs)]));
  if (record.sharedPage !== null) {
    closeSync(openSync(record.sharedPage, 'w', 0o600));
    truncateSync(record.sharedPage, SHARED_PAGE_BYTES);
  }
  const argv = qemuArguments({
    name: `netrig.${rig.name}.${vm.name}`,
    accelerator,
    memoryBytes: vm.access.memoryBytes,
    cores: vm.access.cores,
    image,
    runtimeImage: runtime.file,
    initrd,
    nics,
    sharedPage: record.sharedPage,
    dir: record.dir,
  });
  // A failed start under KVM is tried again without it.
  await new LocalHost().exec(['ip', 'netns', 'exec', state.namespace, ...argv], { allowFailure: accelerator === 'kvm' });
}

async function untilReachable(ctx: Context, rig: RigPlan, state: RigState, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  await Promise.all(
    Object.entries(state.vms).map(async ([name, vm]) => {
      while (!(await speaksSsh(vm.address))) {
        throwIfAborted(ctx.signal);
        if (!isRunning(rig.name, name, vm))
          throw new NetrigError('HOST_UNREACHABLE', `virtual machine ${name} ended while it booted: ${consoleOf(vm)}`);
        if (performance.now() > deadline)
          throw new NetrigError('TIMEOUT', `virtual machine ${name} does not answer after ${timeoutMs / 1000} s: ${consoleOf(vm)}`);
        await sleep(POLL_MS, ctx.signal);
      }
    }),
  );
}

const consoleOf = (vm: VmRecord): string => {
  try {
    return readFileSync(join(vm.dir, 'console.log'), 'utf8').trim().split('\n').slice(-3).join(' | ') || 'its console says nothing';
  } catch {
    return 'it has no console yet';
  }
};

/** sshd's greeting, not only an open port. */
function speaksSsh(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: 22, timeout: 1000 });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket
      .once('data', (data) => done(data.toString().startsWith('SSH-')))
      .once('error', () => done(false))
      .once('timeout', () => done(false))
      .once('close', () => done(false));
  });
}

/** By its name on the command line: a pid may have been given to somebody else meanwhile. */
export function isRunning(rig: string, name: string, vm: VmRecord): boolean {
  return pidOf(rig, name, vm) !== undefined;
}

export function pidOf(rig: string, name: string, vm: VmRecord): number | undefined {
  try {
    const pid = Number(readFileSync(join(vm.dir, 'pid'), 'utf8'));
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(`netrig.${rig}.${name}`) ? pid : undefined;
  } catch {
    return undefined;
  }
}

async function killVms(state: RigState): Promise<void> {
  for (const [name, vm] of Object.entries(state.vms)) {
    for (let pid = pidOf(state.rig, name, vm); pid !== undefined; pid = pidOf(state.rig, name, vm)) {
      process.kill(pid, 'SIGKILL');
      await sleep(POLL_MS);
    }
  }
}

export async function removeVms(state: RigState): Promise<void> {
  await killVms(state);
  const here = new LocalHost();
  if (existsSync(`/sys/class/net/${state.uplink}`)) await here.exec(['ip', 'link', 'del', 'dev', state.uplink]);
  if (existsSync(join(NETNS_DIR, state.namespace))) await here.exec(['ip', 'netns', 'del', state.namespace]);
  for (const { sharedPage } of Object.values(state.vms)) if (sharedPage !== null) rmSync(sharedPage, { force: true });
  removeRigState(state.rig);
}
