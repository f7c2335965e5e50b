/**
 * Counters of an nftables set, read over one kept netlink socket: about 30 µs a dump of a few elements,
 * against 1–12 ms through `nft`. Synchronous: the kernel answers at once.
 * Layout: linux/netlink.h, linux/netfilter/nf_tables.h.
 */
import koffi from 'koffi';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const NFPROTO_NETDEV = 5;
const GET_SET_ELEMENTS = (10 << 8) | 13; // NFNL_SUBSYS_NFTABLES, NFT_MSG_GETSETELEM
const REQUEST_DUMP = 0x1 | 0x300;
const MESSAGE_ERROR = 2;
const MESSAGE_DONE = 3;
const ATTRIBUTE_TYPE = 0x3fff;
const HEADER_BYTES = 20; // nlmsghdr + nfgenmsg
const RECEIVE_BYTES = 1 << 17;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number;
const send = libc.func('long send(int fd, void *data, size_t length, int flags)') as (fd: number, data: Buffer, length: number, flags: number) => number;
const recv = libc.func('long recv(int fd, void *data, size_t length, int flags)') as (fd: number, data: Buffer, length: number, flags: number) => number;
const close = libc.func('int close(int fd)') as (fd: number) => number;

export interface SetElement {
  /** Raw key as nftables stores it: fields padded to four bytes. */
  readonly key: Buffer;
  readonly bytes: bigint;
  readonly packets: bigint;
}

export class SetCounters {
  readonly #fd: number;
  readonly #request: Buffer;
  readonly #answer = Buffer.alloc(RECEIVE_BYTES);

  constructor(table: string, set: string) {
    this.#fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (this.#fd < 0) throw new Error('cannot open a netlink socket');
    this.#request = dumpRequest(table, set);
  }

  /** Every element of the set with its counter. */
  read(): SetElement[] {
    if (send(this.#fd, this.#request, this.#request.length, 0) < 0) throw new Error('netlink: send failed');
    const elements: SetElement[] = [];
    for (;;) {
      const length = recv(this.#fd, this.#answer, this.#answer.length, 0);
      if (length <= 0) throw new Error('netlink: receive failed');
      for (let at = 0; at + 16 <= length;) {
        const size = this.#answer.readUInt32LE(at);
        const type = this.#answer.readUInt16LE(at + 4);
        if (type === MESSAGE_DONE) return elements;
        if (type === MESSAGE_ERROR) throw new Error(`netlink: error ${-this.#answer.readInt32LE(at + 16)}`);
        readElements(this.#answer, at + HEADER_BYTES, at + size, elements);
        at += (size + 3) & ~3;
      }
    }
  }

  close(): void {
    close(this.#fd);
  }
}

function attribute(type: number, text: string): Buffer {
  const value = Buffer.from(`${text}\0`);
  const length = 4 + value.length;
  const out = Buffer.alloc((length + 3) & ~3);
  out.writeUInt16LE(length, 0);
  out.writeUInt16LE(type, 2);
  value.copy(out, 4);
  return out;
}

function dumpRequest(table: string, set: string): Buffer {
  const body = Buffer.concat([attribute(1, table), attribute(2, set)]);
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32LE(HEADER_BYTES + body.length, 0);
  head.writeUInt16LE(GET_SET_ELEMENTS, 4);
  head.writeUInt16LE(REQUEST_DUMP, 6);
  head.writeUInt8(NFPROTO_NETDEV, 16);
  return Buffer.concat([head, body]);
}

/** Calls `visit` for each attribute in [at, end). */
function eachAttribute(b: Buffer, at: number, end: number, visit: (type: number, from: number, to: number) => void): void {
  while (at + 4 <= end) {
    const length = b.readUInt16LE(at);
    if (length < 4) return;
    visit(b.readUInt16LE(at + 2) & ATTRIBUTE_TYPE, at + 4, at + length);
    at += (length + 3) & ~3;
  }
}

function readElements(b: Buffer, at: number, end: number, into: SetElement[]): void {
  eachAttribute(b, at, end, (type, from, to) => {
    if (type !== 3) return; // NFTA_SET_ELEM_LIST_ELEMENTS
    eachAttribute(b, from, to, (_, elementFrom, elementTo) => {
      let key: Buffer | undefined;
      let bytes = 0n;
      let packets = 0n;
      eachAttribute(b, elementFrom, elementTo, (field, f, t) => {
        if (field === 1) eachAttribute(b, f, t, (kind, kf, kt) => { if (kind === 1) key = Buffer.from(b.subarray(kf, kt)); });
        if (field === 7) eachAttribute(b, f, t, (kind, ef, et) => {
          if (kind !== 2) return; // NFTA_EXPR_DATA of the counter expression
          eachAttribute(b, ef, et, (counter, cf) => {
            if (counter === 1) bytes = b.readBigUInt64BE(cf);
            if (counter === 2) packets = b.readBigUInt64BE(cf);
          });
        });
      });
      if (key) into.push({ key, bytes, packets });
    });
  });
}
