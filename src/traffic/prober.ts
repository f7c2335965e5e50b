/**
 * Request/response prober over UDP, for latency under load: runs inside a node, as one bundled file.
 *   prober answer PORT
 *   prober ask ADDRESS PORT SECONDS INTERVAL_US BYTES   -> {"rttUs":[…],"askedUs":[…]}, null where no answer came; askedUs from the start
 * Written here because netperf, whose UDP_RR does this, is in Debian's non-free component.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';

/** How long an answer to the last request may take. */
const DRAIN_MS = 2000;
const HEADER_BYTES = 12;

/** On IPv6 and IPv4; on IPv4 alone where the kernel has no other. */
function answer(port: number): void {
  const open = (type: 'udp6' | 'udp4', otherwise?: () => void): void => {
    const socket = createSocket(type);
    socket.on('error', (error) => {
      // Who asked may be unreachable by now.
      if (!('syscall' in error) || error.syscall !== 'bind') return;
      if (!otherwise) throw error;
      socket.close();
      otherwise();
    });
    socket.on('message', (message, peer) => socket.send(message, peer.port, peer.address, () => undefined));
    socket.bind(port, () => process.stdout.write('ready\n'));
  };
  open('udp6', () => open('udp4'));
}

/** Sends to one address. Where there is no route to it each datagram is lost at once: that is measured, as any other loss. */
function sender(socket: Socket, address: string, port: number, ready: (send: (payload: Buffer) => void) => void): void {
  socket.connect(port, address, ((error?: Error | null) =>
    ready((payload) =>
      error ? socket.send(payload, port, address, () => undefined) : socket.send(payload, () => undefined),
    )) as () => void);
}

function ask(address: string, port: number, seconds: number, intervalUs: number, bytes: number): void {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const payload = Buffer.alloc(Math.max(HEADER_BYTES, bytes));
  const rttUs: (number | null)[] = [];
  const askedUs: number[] = [];
  let open = 0;
  const total = Math.floor((seconds * 1e6) / intervalUs);
  let sent = 0;
  socket.on('error', () => undefined); // refused: a lost request, as the null in its place says
  socket.on('message', (message) => {
    if (message.length < HEADER_BYTES) return;
    const sequence = message.readUInt32BE(0);
    if (rttUs[sequence] !== null) return;
    rttUs[sequence] = Number(process.hrtime.bigint() - message.readBigUInt64BE(4)) / 1000;
    open -= 1;
    if (open === 0 && sent === total) finish();
  });
  const finish = () => {
    process.stdout.write(JSON.stringify({ rttUs, askedUs }));
    process.exit(0);
  };
  sender(socket, address, port, (send) => {
    const startedMs = performance.now();
    const tick = () => {
      const due = Math.min(total, Math.floor(((performance.now() - startedMs) * 1000) / intervalUs) + 1);
      for (; sent < due; sent++) {
        payload.writeUInt32BE(sent, 0);
        payload.writeBigUInt64BE(process.hrtime.bigint(), 4);
        rttUs.push(null);
        askedUs.push(Math.round((performance.now() - startedMs) * 1000));
        open += 1;
        send(Buffer.from(payload));
      }
      if (sent < total) setTimeout(tick, Math.max(0, (sent * intervalUs) / 1000 - (performance.now() - startedMs)));
      else setTimeout(finish, DRAIN_MS);
    };
    tick();
  });
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'answer') answer(Number(args[0]));
else ask(args[0] as string, Number(args[1]), Number(args[2]), Number(args[3]), Number(args[4]));
