/** Beacons of a host, by UDP and TCP, of IPv4 and IPv6: they say who it is. */
import { createSocket, type SocketType } from 'node:dgram';
import { createServer } from 'node:net';

export const BEACON_PORT = 7070;

/** Answers a datagram with its own name and the datagram's first bytes; a connection with its name. */
export function startBeacons(name: string): { stop(): void; counters: { asked: number } } {
  const counters = { asked: 0 };
  // What the kernel has no IPv6 for stays silent.
  const sockets = (['udp4', 'udp6'] as const).map((type: SocketType) => {
    const udp = createSocket({ type, ipv6Only: type === 'udp6' });
    udp.on('message', (message, from) => {
      counters.asked += 1;
      udp.send(Buffer.concat([Buffer.from(name.padEnd(32)), message]), from.port, from.address);
    });
    udp.on('error', () => undefined);
    return udp.bind(BEACON_PORT);
  });
  const tcp = createServer((socket) => {
    counters.asked += 1;
    socket.on('error', () => undefined);
    socket.end(`${name}\n`);
  });
  tcp.listen(BEACON_PORT);
  return {
    counters,
    stop: () => {
      for (const udp of sockets) udp.close();
      tcp.close();
    },
  };
}
