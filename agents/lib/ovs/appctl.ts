/** Commands of a running ovs-vswitchd, as ovs-appctl gives them (ovs-appctl(8)), without a process. */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { JsonRpc } from './jsonrpc.ts';

/** `ovsDir`: folder of its sockets. The daemon's answer, as text. */
export async function appctl(ovsDir: string, command: string, ...args: readonly string[]): Promise<string> {
  const [socket] = globSync('ovs-vswitchd.*.ctl', { cwd: ovsDir });
  if (socket === undefined) throw new Error(`no ovs-vswitchd runs with its sockets in ${ovsDir}`);
  const rpc = await JsonRpc.connect({ path: join(ovsDir, socket) }, { onLost: () => undefined });
  try {
    return String(await rpc.call(command, args));
  } finally {
    rpc.close();
  }
}
