/** Recordings as files: a results folder in a tar archive, compressed with Zstandard. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

export const RECORDINGS = join(import.meta.dirname, 'recordings');
const ENDING = '.tar.zst';
const LEVEL = 19;
/** 128 MiB: captures of one run are alike. */
const WINDOW_LOG = 27;
const MOST_BYTES = 1 << 30;

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
  const packed = zstdCompressSync(tar, {
    params: {
      [constants.ZSTD_c_compressionLevel]: LEVEL,
      [constants.ZSTD_c_windowLog]: WINDOW_LOG,
      [constants.ZSTD_c_enableLongDistanceMatching]: 1,
    },
  });
  writeFileSync(join(RECORDINGS, `${name}${ENDING}`), packed);
  return packed.length;
}

export function unpack(name: string, folder: string): void {
  const tar = zstdDecompressSync(readFileSync(join(RECORDINGS, `${name}${ENDING}`)), {
    params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG },
    maxOutputLength: MOST_BYTES,
  });
  execFileSync('tar', ['-C', folder, '-xf', '-'], { input: tar });
}
