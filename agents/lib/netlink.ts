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
const send = libc.func('long send(int fd, void *data, size_t length, int flags)') as (
  fd: number,
  data: Buffer,
  length: number,
  flags: number,
) => number;
const recv = libc.func('long recv(int fd, void *data, size_t length, int flags)') as (
  fd: number,
  data: Buffer,
  length: number,
  flags: number,
) => number;
const close = libc.func('int close(int fd)') as (fd: number) => number;

export interface SetElement {
  /** Where the element's key starts in `buffer`: as nftables stores it, fields padded to four bytes. Valid until the next reading. */
  readonly buffer: Buffer;
  readonly keyAt: number;
  readonly bytes: number;
  readonly packets: number;
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

  /** Visits every element of the set with its counter. */
  read(visit: (element: SetElement) => void): void {
    if (send(this.#fd, this.#request, this.#request.length, 0) < 0) throw new Error('netlink: send failed');
    for (;;) {
      const length = recv(this.#fd, this.#answer, this.#answer.length, 0);
      if (length <= 0) throw new Error('netlink: receive failed');
      for (let at = 0; at + 16 <= length;) {
        const size = this.#answer.readUInt32LE(at);
        const type = this.#answer.readUInt16LE(at + 4);
        if (type === MESSAGE_DONE) return;
        if (type === MESSAGE_ERROR) throw new Error(`netlink: error ${-this.#answer.readInt32LE(at + 16)}`);
        readElements(this.#answer, at + HEADER_BYTES, at + size, visit);
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

/** Finds an attribute in [at, end): the offset of its content, or -1. */
function find(b: Buffer, at: number, end: number, wanted: number): number {
  while (at + 4 <= end) {
    const length = b.readUInt16LE(at);
    if (length < 4) return -1;
    if ((b.readUInt16LE(at + 2) & ATTRIBUTE_TYPE) === wanted) return at + 4;
    at += (length + 3) & ~3;
  }
  return -1;
}

/** End of the attribute whose content starts at `content`. */
const endOf = (b: Buffer, content: number): number => content - 4 + b.readUInt16LE(content - 4);
/** Counters stay below 2^53 for longer than a host lives. */
const readU64 = (b: Buffer, at: number): number => b.readUInt32BE(at) * 2 ** 32 + b.readUInt32BE(at + 4);

/** Straight through the nested attributes: a thousand elements are read a hundred times a second. */
function readElements(b: Buffer, at: number, end: number, visit: (element: SetElement) => void): void {
  const list = find(b, at, end, 3); // NFTA_SET_ELEM_LIST_ELEMENTS
  if (list < 0) return;
  const listEnd = endOf(b, list);
  for (let element = list; element + 4 <= listEnd;) {
    const length = b.readUInt16LE(element);
    if (length < 4) return;
    const elementEnd = element + length;
    const key = find(b, element + 4, elementEnd, 1); // NFTA_SET_ELEM_KEY
    const value = key < 0 ? -1 : find(b, key, endOf(b, key), 1); // NFTA_DATA_VALUE
    const expression = find(b, element + 4, elementEnd, 7); // NFTA_SET_ELEM_EXPR
    const counter = expression < 0 ? -1 : find(b, expression, endOf(b, expression), 2); // NFTA_EXPR_DATA
    if (value >= 0 && counter >= 0) {
      const bytes = find(b, counter, endOf(b, counter), 1); // NFTA_COUNTER_BYTES
      const packets = find(b, counter, endOf(b, counter), 2); // NFTA_COUNTER_PACKETS
      if (bytes >= 0 && packets >= 0) visit({ buffer: b, keyAt: value, bytes: readU64(b, bytes), packets: readU64(b, packets) });
    }
    element += (length + 3) & ~3;
  }
}
