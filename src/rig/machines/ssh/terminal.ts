/** A command on a machine of a rig with the user's terminal: for shells and looking around. */
import type { Client } from 'ssh2';
import type { RigHost, RigPlan } from '../../rigfile.ts';
import { accessOf, openChain } from './connect.ts';
import { shellQuoted } from '../../../core/shell.ts';

/** Its exit status. */
export async function runOnTerminal(rig: RigPlan, host: RigHost, argv: readonly string[]): Promise<number> {
  const { client, clients } = await openChain(rig, host, []);
  try {
    return await attach(client, [...(accessOf(rig, host).sudo ? ['sudo', '-n'] : []), ...argv]);
  } finally {
    for (const each of clients) each.end();
  }
}

function attach(client: Client, argv: readonly string[]): Promise<number> {
  const { stdin, stdout, stderr } = process;
  const terminal = stdin.isTTY && stdout.isTTY;
  const pty = terminal ? { rows: stdout.rows, cols: stdout.columns, term: process.env['TERM'] ?? 'xterm' } : false;
  return new Promise((resolve, reject) =>
    client.exec(shellQuoted(argv), { pty }, (error, channel) => {
      if (error) {
        reject(error);
        return;
      }
      if (terminal) stdin.setRawMode(true);
      stdin.pipe(channel);
      channel.pipe(stdout);
      channel.stderr.pipe(stderr);
      const onResize = () => channel.setWindow(stdout.rows, stdout.columns, 0, 0);
      stdout.on('resize', onResize);
      let status = 1;
      channel.on('exit', (code: number | null) => {
        status = code ?? 1;
      });
      channel.on('close', () => {
        if (terminal) stdin.setRawMode(false);
        stdin.unpipe(channel);
        stdin.pause();
        stdout.off('resize', onResize);
        resolve(status);
      });
    }),
  );
}
