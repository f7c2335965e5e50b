/** Commands as a person can give them to a shell again. Pure. */

const PLAIN = /^[A-Za-z0-9_./:=@%+,-]+$/;

export const shellQuoted = (argv: readonly string[]): string =>
  argv.map((word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
