/** Arguments of one virtual machine. Pure. */
import type { VmImage } from './image.ts';

/** Under emulation all cores of a guest are threads here. */
export type Accelerator = 'kvm' | 'tcg';

export interface VmNic {
  readonly name: string;
  readonly tap: string;
  readonly mac: string;
  readonly mtu: number;
  /** CIDR; null: left to labs. */
  readonly address: string | null;
}

export interface VmSpec {
  readonly name: string;
  readonly accelerator: Accelerator;
  readonly memoryBytes: number;
  readonly cores: number;
  readonly image: VmImage;
  /** Node and the native helpers, as a file system. */
  readonly runtimeImage: string;
  readonly initrd: string;
  readonly nics: readonly VmNic[];
  readonly sharedPage: string | null;
  readonly dir: string;
}

export const SHARED_PAGE_BYTES = 1 << 20;

/** The time-stamp counter as the only clock source: emulated, it is the host's plus a constant. */
const KERNEL_ARGUMENTS =
  'console=ttyS0 quiet loglevel=3 mitigations=off tsc=reliable clocksource=tsc nokaslr random.trust_cpu=on no_timer_check audit=0 panic=-1 net.ifnames=0';

export function qemuArguments({
  name,
  accelerator,
  memoryBytes,
  cores,
  image,
  runtimeImage,
  initrd,
  nics,
  sharedPage,
  dir,
}: VmSpec): string[] {
  const disk = (id: string, file: string) => [
    '-drive',
    `file=${file},if=none,id=${id},format=raw,readonly=on,file.locking=off`,
    '-device',
    `virtio-blk-pci,drive=${id}`,
  ];
  return [
    'qemu-system-x86_64',
    '-name',
    name,
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    '-display',
    'none',
    '-machine',
    'q35',
    '-accel',
    accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi,tb-size=128',
    '-cpu',
    accelerator === 'kvm' ? 'host' : 'max',
    '-smp',
    String(cores),
    '-m',
    `${Math.round(memoryBytes / 2 ** 20)}M`,
    '-kernel',
    image.kernel,
    '-initrd',
    initrd,
    '-append',
    KERNEL_ARGUMENTS,
    ...disk('root', image.root),
    ...disk('runtime', runtimeImage),
    ...nics.flatMap((nic, i) => [
      '-netdev',
      `tap,id=n${i},ifname=${nic.tap},script=no,downscript=no,vhost=off`,
      '-device',
      `virtio-net-pci,netdev=n${i},mac=${nic.mac},host_mtu=${nic.mtu},romfile=`,
    ]),
    ...(sharedPage === null
      ? []
      : [
          '-object',
          `memory-backend-file,id=page,share=on,size=${SHARED_PAGE_BYTES},mem-path=${sharedPage}`,
          '-device',
          'ivshmem-plain,memdev=page',
        ]),
    '-device',
    'virtio-rng-pci',
    '-chardev',
    `file,id=serial,path=${dir}/console.log`,
    '-serial',
    'chardev:serial',
    '-pidfile',
    `${dir}/pid`,
    '-daemonize',
  ];
}

/** Read by lab/vm/guest-init.sh. */
export function identityEnv(input: {
  name: string;
  machineId: string;
  address: string;
  neighbour: { address: string; mac: string };
  runtime: string;
  nics: readonly VmNic[];
}): string {
  const nics = input.nics.map((n) => `${n.name}=${n.mac}${n.address === null ? '' : `=${n.address}`}`).join(' ');
  return `HOSTNAME=${input.name}\nMACHINE_ID=${input.machineId}\nADDRESS=${input.address}\nNEIGHBOUR=${input.neighbour.address}=${input.neighbour.mac}\nRUNTIME=${input.runtime}\nNICS="${nics}"\n`;
}
