/** A database of an agent's own: Debian's ovsdb-server with a schema of the agent's, on a socket in its folder. It survives the agent. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { until } from '../../../src/core/until.ts';
import { startDaemon, type Daemon } from '../daemon.ts';
import { run } from '../run.ts';

/** RFC 7047, section 3.2. */
export interface DatabaseSchema {
  readonly name: string;
  readonly version: string;
  readonly tables: Readonly<Record<string, object>>;
}

const START_MS = 10_000;

export interface Database {
  readonly socket: string;
  readonly daemon: Daemon;
}

const accepts = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ path }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

/** The one that a predecessor left running, with what is in it, or a new one. */
export async function startDatabase(dir: string, schema: DatabaseSchema): Promise<Database> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const [file, socket] = [join(dir, 'conf.db'), join(dir, 'db.sock')];
  if (!existsSync(file)) {
    const text = join(dir, 'schema.json');
    writeFileSync(text, JSON.stringify(schema));
    await run('ovsdb-tool', ['create', file, text]);
  }
  // A socket in a folder that only root can enter: nobody on the network speaks to the database.
  const options = [`--remote=punix:${socket}`, `--unixctl=${join(dir, 'ctl.sock')}`, '--log-file=/dev/null', '-vconsole:warn'];
  const daemon = await startDaemon(dir, 'ovsdb-server', [file, ...options], { adopt: true });
  // The socket of one that died is there still.
  if (!(await until(() => accepts(socket), { withinMs: START_MS }))) throw new Error('ovsdb-server does not start');
  return { socket, daemon };
}
