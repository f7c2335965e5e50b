/** Decision master node: what an AIN does not know it asks for here, with the packet itself (R1 section 2, E3 to E6). */
import { createSocket, type RemoteInfo } from 'node:dgram';
import type { NodeRole } from '../../lib/role.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { decide } from '../decision/decide.ts';
import { viewsOf, type Views } from '../decision/view.ts';
import {
  segmented,
  together,
  AIN_PORT,
  dataKey,
  DMN_PORT,
  encodeOps,
  FLOW_BYTES,
  MESSAGES,
  readFlow,
  seal,
  unseal,
  type Header,
  type Op,
} from '../decision/wire.ts';
import { warmUp } from '../decision/warm.ts';
import { EMPTY } from '../model.ts';
import type { Sight } from '../names/answers.ts';
import { Follower } from './follower.ts';
import { NameMessages } from './namemessages.ts';
import { Window } from './window.ts';

/** Queries that wait while this process is busy; what comes beyond is dropped by the kernel, and asked again by its sender. */
const QUEUE_BYTES = 4 << 20;

/** native/action.h: MAX_SIGHTS_TOLD. */
const MOST_SIGHTS = 32;

/** A packet that was changed here is no query once more, if its action is lost: it would be translated twice. */
const NEVER_AGAIN = 255;

/** What an AIN may say itself in the next answers. */
const told = (sights: readonly Sight[], generation: number): Op[] =>
  sights.slice(0, MOST_SIGHTS).map(({ address, as }) => ({ op: 'sees', address, as, generation }));

export async function startDmn({ config, secret }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, segmentBytes } = config;
  const own = config.dmns.find((d) => d.name === self.name)!;
  const near = config.ains.filter((a) => a.cell === own.cell);
  const ains = new Map(near.map((a) => [a.name, a]));
  const byNumber = new Map(near.map((a) => [a.number, a]));
  const addresses = new Map(config.nodes.filter((n) => ains.has(n.name)).map((n) => [n.address, n.name]));
  const key = dataKey(secret, own.cell);
  const counters = { queries: 0, decided: 0, forged: 0, repeated: 0, malformed: 0, probes: 0, foreign: 0 };
  const names = new NameMessages();
  const asked = new Window();
  warmUp(key);
  let views: Views = viewsOf(EMPTY);
  const socket = createSocket({ type: 'udp4', recvBufferSize: QUEUE_BYTES });
  const answer = (to: RemoteInfo, header: Header, type: number, ...payload: readonly Buffer[]): void =>
    socket.send(seal(key, { ...header, type, sender: own.number }, ...payload), AIN_PORT, to.address);

  const query = (to: RemoteInfo, header: Header, payload: Buffer): void => {
    const at = byNumber.get(header.sender);
    const flow = readFlow(payload);
    if (!at || !flow || addresses.get(to.address) !== at.name) {
      counters.malformed += 1;
      return;
    }
    counters.queries += 1;
    const decision = decide(views, ains, at, flow);
    const key = payload.subarray(0, FLOW_BYTES);
    const send = (packet: Buffer, tries: number, ops: readonly Op[]): void => {
      const action = encodeOps(ops);
      const both = together(key, action, packet, segmentBytes);
      if (both) answer(to, { ...header, tries }, MESSAGES.answer, both);
      else {
        // The action first, so that the packet finds it.
        for (const part of segmented(key, action, segmentBytes)) answer(to, header, MESSAGES.action, part);
        for (const part of segmented(key, packet)) answer(to, { ...header, tries }, MESSAGES.packet, part);
      }
      counters.decided += 1;
    };
    const packet = payload.subarray(FLOW_BYTES);
    if (!decision.names) {
      send(packet, header.tries, decision.ops);
      return;
    }
    const heard = { ...decision.names, flow, key, packet };
    const { version } = views;
    names.hear(views, follower.isSettled, heard, (passed, isSame, sights) =>
      send(passed, isSame ? header.tries : NEVER_AGAIN, [...decision.ops, ...told(sights, version)]),
    );
  };

  socket.on('message', (message, from) => {
    // Only AINs of this cell are heard (R1-18).
    const opened = addresses.has(from.address) ? unseal(key, message) : undefined;
    if (!opened) {
      counters[addresses.has(from.address) ? 'forged' : 'foreign'] += 1;
      return;
    }
    const { header, payload } = opened;
    if (header.type === MESSAGES.probe) {
      counters.probes += 1;
      const version = Buffer.alloc(8);
      version.writeBigUInt64BE(BigInt(views.version));
      answer(from, header, MESSAGES.probed, version);
    } else if (header.type !== MESSAGES.query) counters.malformed += 1;
    else if (!asked.isNew(header.sender, header.session, header.number)) counters.repeated += 1;
    else query(from, header, payload);
  });
  socket.on('error', (error) => log('error', 'socket', { why: error.message }));
  await new Promise<void>((resolve) => socket.bind(DMN_PORT, self.address, resolve));

  const follower = new Follower(config, secret, (metadata) => {
    views = viewsOf(metadata);
  });
  return {
    counters: () => ({ ...counters, ...names.counters, version: views.version, networks: views.byName.size }),
    stop: () => {
      follower.stop();
      socket.close();
    },
  };
}
