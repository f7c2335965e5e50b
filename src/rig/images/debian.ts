/** A Debian root folder made from packages, for images of containers and virtual machines; no registry is asked. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { execa } from 'execa';
import { NetrigError } from '../../core/errors.ts';
import { systemPackages } from '../../core/paths.ts';

export const SUITE = 'bookworm';

/** What nodes need wherever they run, whichever system's agents they carry. */
export const NODE_PACKAGES: readonly string[] = [
  'iproute2',
  'ethtool',
  'procps',
  'nftables',
  'tcpdump',
  'iperf3',
  'mgen',
  'util-linux',
  'libstdc++6',
  'ca-certificates',
  ...new Set([...systemPackages().values()].flat()),
];

/** Everything of netrig's that may be made again. */
export const CACHE_DIR = process.env['NETRIG_CACHE_DIR'] ?? '/var/cache/netrig';

/** Manual pages, translations and the like: four fifths of nothing that a lab needs. */
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];

/** `hooks`: shell lines that mmdebstrap runs with the root's path as $1, its package lists still there. */
export async function buildRoot(target: string, packages: readonly string[], hooks: readonly string[] = []): Promise<void> {
  requirePrograms(['mmdebstrap']);
  mkdirSync(dirname(target), { recursive: true });
  // The machine's own sources, where they are Debian's: a mirror near by, or the only one that can be reached.
  const sources = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].find((file) => existsSync(file));
  const args = [
    '--mode=root',
    '--variant=apt',
    '--quiet',
    `--format=${target.endsWith('.tar') ? 'tar' : 'directory'}`,
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=APT::Install-Recommends "false"',
    '--dpkgopt=force-unsafe-io',
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    `--include=${packages.join(',')}`,
    ...hooks.map((hook) => `--customize-hook=${hook}`),
    SUITE,
    target,
    ...(sources === undefined ? [] : [sources]),
  ];
  const { exitCode, stderr } = await execa('mmdebstrap', args, { reject: false, stdin: 'ignore' });
  if (exitCode === 0) return;
  rmSync(target, { recursive: true, force: true });
  throw new NetrigError(
    'STEP_FAILED',
    `the image cannot be built: mmdebstrap ends with ${exitCode}: ${
      stderr
        .split('\n')
        .filter((line) => /^E:|error/i.test(line))
        .slice(-5)
        .join('\n') || stderr.trim().slice(-500)
    }`,
    { hint: 'does apt-get update work on this machine?' },
  );
}

const PACKAGE_OF: Readonly<Record<string, string>> = {
  mmdebstrap: 'mmdebstrap',
  'qemu-system-x86_64': 'qemu-system-x86',
  mksquashfs: 'squashfs-tools',
  cpio: 'cpio',
  depmod: 'kmod',
  dockerd: 'docker.io',
  'ssh-keygen': 'openssh-client',
  ptp4l: 'linuxptp',
};

/** CAPABILITY_MISSING, with what to install. */
export function requirePrograms(programs: readonly string[]): void {
  const path = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin');
  const missing = programs.filter((program) => !path.some((dir) => existsSync(`${dir}/${program}`)));
  if (missing.length > 0)
    throw new NetrigError('CAPABILITY_MISSING', `not installed: ${missing.join(', ')}`, {
      hint: `apt-get install --no-install-recommends ${missing.map((m) => PACKAGE_OF[m] ?? m).join(' ')}, or lab/setup.sh --with-rigs`,
    });
}
