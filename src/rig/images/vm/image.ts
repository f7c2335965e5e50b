/** The image that all virtual machines share: a Debian root (squashfs), its kernel, and an initramfs; built once, cached. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { stage, type Context } from '../../../core/context.ts';
import { BUILD_DIR } from '../../../core/paths.ts';
import { shortHash } from '../../../core/hash.ts';
import { NetrigError } from '../../../core/errors.ts';
import { buildRoot, CACHE_DIR, NODE_PACKAGES, requirePrograms } from '../debian.ts';

export interface VmImage {
  readonly kernel: string;
  /** First part of the initramfs, gzip; a machine's identity goes before it. */
  readonly initramfs: string;
  readonly root: string;
}

const GUEST_FILES = join(BUILD_DIR, '../lab/vm');
const PACKAGES = [
  ...NODE_PACKAGES,
  'mount',
  'openssh-server',
  'openvswitch-switch',
  'linuxptp',
  'chrony',
  'kmod',
  'netbase',
  'busybox-static',
  'iputils-ping',
];
/**
 * Debian's kernel for clouds: small, and with everything that a gateway's data plane may want. Fetched, not installed:
 * its hooks would build an initramfs of their own.
 */
const FETCH_KERNEL =
  'chroot "$1" sh -c \'cd /boot && apt-get -qq -o APT::Sandbox::User=root download "$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \\(linux-image-[^ ]*\\).*/\\1/p" | head -n 1)"\'';
/** Folders of kernel modules that are kept. */
const MODULES = [
  'kernel/net',
  'kernel/lib',
  'kernel/crypto',
  'kernel/arch/x86/crypto',
  'kernel/drivers/net',
  'kernel/drivers/virtio',
  'kernel/drivers/ptp',
  'kernel/drivers/block',
  'kernel/drivers/char/hw_random',
  'kernel/fs/overlayfs',
  'kernel/fs/squashfs',
];
const LEFT_OUT = /\/drivers\/net\/(ethernet|hyperv|xen|wwan|wireless)\//;
/** Needed before the root can be mounted. */
const EARLY_MODULES = ['virtio_pci', 'virtio_blk', 'overlay', 'squashfs'];

export async function vmImage(ctx: Context): Promise<VmImage> {
  const guestFiles = readdirSync(GUEST_FILES)
    .sort()
    .map((file) => readFileSync(join(GUEST_FILES, file)));
  const dir = join(CACHE_DIR, 'vm', shortHash(JSON.stringify([PACKAGES, FETCH_KERNEL, MODULES, EARLY_MODULES]), ...guestFiles));
  const image = { kernel: join(dir, 'vmlinuz'), initramfs: join(dir, 'initramfs.gz'), root: join(dir, 'root.squashfs') };
  if (existsSync(dir)) return image;
  requirePrograms(['mmdebstrap', 'mksquashfs', 'cpio', 'depmod', 'modprobe']);
  mkdirSync(dirname(dir), { recursive: true });
  const draft = mkdtempSync(`${dir}.`);
  try {
    await stage(ctx, 'image', () => build(draft), {
      detail: 'Debian root, kernel and initramfs; once, about a minute',
      expectedSeconds: 60,
    });
    renameSync(draft, dir);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return image;
}

async function build(dir: string): Promise<void> {
  const root = join(dir, 'root');
  await buildRoot(root, PACKAGES, [FETCH_KERNEL]);
  const version = await unpackKernel(dir, root);
  cpSync(join(GUEST_FILES, 'guest-init.sh'), join(root, 'sbin/netrig-init'));
  cpSync(join(GUEST_FILES, 'sshd_config'), join(root, 'etc/ssh/sshd_config'));
  await execa('chmod', ['755', join(root, 'sbin/netrig-init')]);
  strip(root);
  await execa('mksquashfs', [root, join(dir, 'root.squashfs'), '-comp', 'lz4', '-noappend', '-no-progress', '-quiet'], {
    stdout: 'ignore',
  });
  await buildInitramfs(dir, root, version);
  rmSync(root, { recursive: true, force: true });
}

/** Kernel beside the image, modules into the root; the kernel's version. */
async function unpackKernel(dir: string, root: string): Promise<string> {
  const deb = readdirSync(join(root, 'boot')).find((file) => file.endsWith('.deb'));
  if (!deb) throw new NetrigError('STEP_FAILED', 'the image cannot be built: apt has no linux-image-cloud-amd64');
  const unpacked = join(dir, 'kernel');
  await execa('dpkg', ['-x', join(root, 'boot', deb), unpacked]);
  rmSync(join(root, 'boot', deb));
  const version = readdirSync(join(unpacked, 'lib/modules'))[0] as string;
  cpSync(join(unpacked, 'boot', `vmlinuz-${version}`), join(dir, 'vmlinuz'));
  const from = join(unpacked, 'lib/modules', version);
  const to = join(root, 'usr/lib/modules', version);
  for (const part of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo', ...MODULES]) {
    if (existsSync(join(from, part)))
      cpSync(join(from, part), join(to, part), { recursive: true, filter: (path) => !LEFT_OUT.test(`${path}/`) });
  }
  rmSync(unpacked, { recursive: true, force: true });
  await execa('depmod', ['-b', root, '-a', version]);
  return version;
}

/** What every machine has of its own, and what none needs. */
function strip(root: string): void {
  for (const path of [
    'etc/machine-id',
    'var/lib/dbus/machine-id',
    'etc/openvswitch/system-id.conf',
    'etc/openvswitch/conf.db',
    'var/cache/apt',
    'var/lib/apt/lists',
    'var/log',
    'usr/share/zoneinfo',
    'usr/share/bash-completion',
    ...readdirSync(join(root, 'etc/ssh'))
      .filter((f) => f.startsWith('ssh_host_'))
      .map((f) => `etc/ssh/${f}`),
  ])
    rmSync(join(root, path), { recursive: true, force: true });
  writeFileSync(join(root, 'etc/machine-id'), '');
  rmSync(join(root, 'etc/mtab'), { force: true });
  symlinkSync('/proc/self/mounts', join(root, 'etc/mtab'));
  for (const path of ['root/.ssh', 'netrig', 'var/log', 'var/lib/netrig']) mkdirSync(join(root, path), { recursive: true, mode: 0o700 });
}

async function buildInitramfs(dir: string, root: string, version: string): Promise<void> {
  const tree = join(dir, 'initramfs');
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'mnt', 'modules']) mkdirSync(join(tree, folder), { recursive: true });
  cpSync(join(root, 'bin/busybox'), join(tree, 'bin/busybox'));
  cpSync(join(GUEST_FILES, 'initramfs-init.sh'), join(tree, 'init'));
  await execa('chmod', ['755', join(tree, 'init')]);
  await execa('mknod', ['-m', '600', join(tree, 'dev/console'), 'c', '5', '1']);
  const order: string[] = [];
  for (const module of EARLY_MODULES) {
    const { stdout } = await execa('modprobe', ['-d', root, '-S', version, '--show-depends', module]);
    for (const [, path] of stdout.matchAll(/^insmod (\S+)/gm)) {
      const name = basename(path as string);
      if (order.includes(name)) continue;
      order.push(name);
      cpSync(path as string, join(tree, 'modules', name));
    }
  }
  writeFileSync(join(tree, 'modules/order'), `${order.join('\n')}\n`);
  writeFileSync(join(dir, 'initramfs.gz'), gzipSync(await cpioOf(tree)));
  rmSync(tree, { recursive: true, force: true });
}

/** A folder as a cpio archive, the format of an initramfs. */
export async function cpioOf(dir: string): Promise<Buffer> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).map((entry) =>
    relative(dir, join(entry.parentPath, entry.name)),
  );
  const { stdout } = await execa('cpio', ['-o', '-H', 'newc', '--quiet', '--owner=0:0'], {
    cwd: dir,
    input: `${['.', ...files.sort()].join('\n')}\n`,
    encoding: 'buffer',
  });
  return Buffer.from(stdout);
}
