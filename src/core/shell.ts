/** Words that a shell takes as they are: for login shells on the other side of SSH, and for people. Pure. */

const PLAIN = /^[A-Za-z0-9_./:=@%+,-]+$/;

export const quote = (word: string): string => (PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** A command as it can be given to a shell. */
export const shellQuoted = (argv: readonly string[]): string => argv.map(quote).join(' ');
