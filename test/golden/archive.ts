/** Recordings as files: a results folder in a tar archive, compressed with xz, which makes captures a tenth smaller than Zstandard does. */
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const RECORDINGS = join(import.meta.dirname, 'recordings');
const ENDING = '.tar.xz';
/** Captures of one run are alike: the dictionary holds all of them. */
const COMPRESS = ['--compress', '--stdout', '--threads=1', '--lzma2=preset=9e,dict=128MiB'];
const MOST_BYTES = 1 << 30;

const archiveOf = (name: string): string => join(RECORDINGS, `${name}${ENDING}`);
export const sizeOf = (name: string): number => statSync(archiveOf(name)).size;

export const recordingNames = (): string[] =>
  readdirSync(RECORDINGS)
    .filter((file) => file.endsWith(ENDING))
    .map((file) => file.slice(0, -ENDING.length))
    .sort();

export function pack(folder: string, name: string): number {
  const tar = execFileSync(
    'tar',
    ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-C', folder, '-cf', '-', '.'],
    { maxBuffer: MOST_BYTES },
  );
  const packed = execFileSync('xz', COMPRESS, { input: tar, maxBuffer: MOST_BYTES });
  writeFileSync(archiveOf(name), packed);
  return packed.length;
}

export function unpack(name: string, folder: string): void {
  execFileSync('tar', ['-C', folder, '--use-compress-program=xz', '-xf', archiveOf(name)]);
}
