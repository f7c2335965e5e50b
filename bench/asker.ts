/**
 * Runs on a host of a bench's lab: asks a name server for one address after another, writes down when each question was sent and what
 * its answer leads to; and whenever that is another prefix than before, asks there who answers.
 * usage: asker.ts SERVER QUESTIONS FILE
 */
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';

/** Numbers of each answer: when its question was sent, when it came (milliseconds since the epoch), the two first bytes of its address. */
export const ROW = 3;
export interface Asked {
  readonly unanswered: number;
  readonly failed: number;
  /** Whether a host answered at the first address of a prefix that was new. */
  readonly changes: readonly { readonly atMs: number; readonly prefix: number; readonly reached: boolean }[];
}

const [SOCKETS, WINDOW, TIMEOUT_MS, NAMES] = [4, 32, 300, 200];
/** In the prefix that moves: a host with a beacon. */
const [BEACON_HOST, BEACON_PORT, BEACON_MS] = [9, 7070, 1000];

function question(id: number, name: string): Buffer {
  const labels = [name, 'c', 'example'].map((l) => Buffer.concat([Buffer.from([l.length]), Buffer.from(l)]));
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

async function ask(server: string, total: number, file: string): Promise<Asked> {
  const rows = new Float64Array(ROW * total);
  const [counts, changes, beacons]: [
    { unanswered: number; failed: number },
    { atMs: number; prefix: number; reached: boolean }[],
    Promise<void>[],
  ] = [{ unanswered: 0, failed: 0 }, [], []];
  let [sent, answered, last] = [0, 0, -1];
  const isReached = (prefix: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = createSocket('udp4');
      const end = (is: boolean) => {
        clearTimeout(timer);
        socket.close();
        resolve(is);
      };
      const timer = setTimeout(() => end(false), BEACON_MS);
      socket.on('message', () => end(true));
      socket.send('who?', BEACON_PORT, `${prefix >> 8}.${prefix & 255}.1.${BEACON_HOST}`);
    });
  await Promise.all(
    Array.from({ length: SOCKETS }, async (_, s) => {
      const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
      const waiting = new Map<number, number>();
      let next = s;
      const send = (): void => {
        if (sent >= total) return;
        sent += 1;
        const id = (next += SOCKETS) & 0xffff;
        waiting.set(id, Date.now());
        socket.send(question(id, `h${id % NAMES}`), 53, server);
      };
      socket.on('message', (m) => {
        const id = m.readUInt16BE(0);
        const sentMs = waiting.get(id);
        if (sentMs === undefined) return;
        waiting.delete(id);
        const end = m.indexOf(0, 12) + 5;
        if ((m[3]! & 15) !== 0 || m.readUInt16BE(6) !== 1) counts.failed += 1;
        else {
          const [prefix, nowMs] = [m.readUInt16BE(end + 12), Date.now()];
          rows.set([sentMs, nowMs, prefix], ROW * answered);
          answered += 1;
          if (prefix !== last) beacons.push(isReached(prefix).then((reached) => void changes.push({ atMs: nowMs, prefix, reached })));
          last = prefix;
        }
        send();
      });
      for (let i = 0; i < WINDOW; i++) send();
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          for (const [id, sentMs] of waiting)
            if (Date.now() - sentMs > TIMEOUT_MS) {
              waiting.delete(id);
              counts.unanswered += 1;
              send();
            }
          if (waiting.size > 0 || sent < total) return;
          clearInterval(timer);
          resolve();
        }, 50);
      });
      socket.close();
    }),
  );
  await Promise.all(beacons);
  writeFileSync(file, Buffer.from(rows.buffer, 0, 8 * ROW * answered));
  return { ...counts, changes };
}

if (process.argv[1] === import.meta.filename) {
  const [server = '', total = '0', file = ''] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify(await ask(server, Number(total), file))}\n`);
}
