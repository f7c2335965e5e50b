/**
 * Runs on a host of a bench's lab: passes questions on to a name server, and puts a prefix of its own into its answers.
 * usage: lateproxy.ts ADDRESS SERVER; each line of stdin is the prefix from then on, as a number of 16 bits
 */
import { createSocket, type RemoteInfo } from 'node:dgram';
import { createInterface } from 'node:readline';

const [address = '', server = ''] = process.argv.slice(2);
const REAL = 192 * 256 + 168;
let prefix = 0;
createInterface({ input: process.stdin }).on('line', (line) => (prefix = Number(line)));
const askers = new Map<number, RemoteInfo>();
const front = createSocket('udp4');
const back = createSocket('udp4');
front.on('message', (m, from) => {
  askers.set(m.readUInt16BE(0), from);
  back.send(m, 53, server);
});
back.on('message', (m) => {
  const [from, at] = [askers.get(m.readUInt16BE(0)), m.indexOf(0, 12) + 5 + 12];
  if (!from) return;
  if (m.length >= at + 4 && m.readUInt16BE(at) === REAL) m.writeUInt16BE(prefix, at);
  front.send(m, from.port, from.address);
});
front.bind(53, address, () => process.stdout.write('ready\n'));
