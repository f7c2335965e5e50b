/**
 * Messages of etcd's API, as far as they are used here. Source: rpc.proto, kv.proto and auth.proto of etcd 3.4. Numbers of fields are
 * theirs. Pure.
 */
import protobuf from 'protobufjs/light.js';

type Fields = Readonly<Record<string, readonly [number: number, type: string, rule?: 'repeated']>>;

const MESSAGES: Readonly<Record<string, Fields>> = {
  Empty: {},
  ResponseHeader: { revision: [3, 'int64'] },
  Response: { header: [1, 'ResponseHeader'] },
  KeyValue: { key: [1, 'bytes'], modRevision: [3, 'int64'], value: [5, 'bytes'] },
  RangeRequest: { key: [1, 'bytes'], rangeEnd: [2, 'bytes'] },
  RangeResponse: { header: [1, 'ResponseHeader'], kvs: [2, 'KeyValue', 'repeated'] },
  PutRequest: { key: [1, 'bytes'], value: [2, 'bytes'], lease: [3, 'int64'] },
  DeleteRangeRequest: { key: [1, 'bytes'], rangeEnd: [2, 'bytes'] },
  RequestOp: { requestRange: [1, 'RangeRequest'], requestPut: [2, 'PutRequest'], requestDeleteRange: [3, 'DeleteRangeRequest'] },
  TxnRequest: { success: [2, 'RequestOp', 'repeated'] },
  ResponseOp: { responseRange: [1, 'RangeResponse'] },
  TxnResponse: { header: [1, 'ResponseHeader'], responses: [3, 'ResponseOp', 'repeated'] },
  LeaseGrantRequest: { TTL: [1, 'int64'], ID: [2, 'int64'] },
  LeaseKeepAliveRequest: { ID: [1, 'int64'] },
  LeaseKeepAliveResponse: { ID: [2, 'int64'], TTL: [3, 'int64'] },
  WatchCreateRequest: { key: [1, 'bytes'], rangeEnd: [2, 'bytes'], startRevision: [3, 'int64'], watchId: [7, 'int64'] },
  WatchCancelRequest: { watchId: [1, 'int64'] },
  WatchRequest: { createRequest: [1, 'WatchCreateRequest'], cancelRequest: [2, 'WatchCancelRequest'] },
  Event: { type: [1, 'int32'], kv: [2, 'KeyValue'] },
  WatchResponse: {
    header: [1, 'ResponseHeader'],
    watchId: [2, 'int64'],
    created: [3, 'bool'],
    canceled: [4, 'bool'],
    compactRevision: [5, 'int64'],
    cancelReason: [6, 'string'],
    events: [11, 'Event', 'repeated'],
  },
  UserAddOptions: { noPassword: [1, 'bool'] },
  UserAddRequest: { name: [1, 'string'], options: [3, 'UserAddOptions'] },
  UserRoleRequest: { user: [1, 'string'], role: [2, 'string'] },
  RoleRequest: { name: [1, 'string'] },
  Permission: { permType: [1, 'int32'], key: [2, 'bytes'], rangeEnd: [3, 'bytes'] },
  RoleRevokeRequest: { role: [1, 'string'], key: [2, 'bytes'], rangeEnd: [3, 'bytes'] },
  RoleGrantRequest: { name: [1, 'string'], perm: [2, 'Permission'] },
};

const root = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(MESSAGES).map(([name, fields]) => [
      name,
      {
        fields: Object.fromEntries(
          Object.entries(fields).map(([field, [id, type, rule]]) => [field, { id, type, ...(rule ? { rule } : {}) }]),
        ),
      },
    ]),
  ),
});

/** A key or value as the wire has it. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly modRevision: number;
}

export interface Header {
  readonly revision: number;
}

export interface WatchResponse {
  readonly header: Header;
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not 0: what happened up to there is not kept any more. */
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly events: readonly { readonly type: number; readonly kv: KeyValue }[];
}

/** Of the type of an event. */
export const DELETED = 1;

export interface Codec {
  encode(message: object): Buffer;
  decode(bytes: Buffer): unknown;
}

export function codec(name: keyof typeof MESSAGES): Codec {
  const type = root.lookupType(name);
  return {
    encode: (message) => Buffer.from(type.encode(type.fromObject(message)).finish()),
    decode: (bytes) => type.toObject(type.decode(bytes), { longs: Number, bytes: Buffer, defaults: true, arrays: true }),
  };
}
