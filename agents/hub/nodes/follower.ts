/** A node that follows the control plane: what changes is applied in its order, one after the other. */
import { Type } from 'typebox';
import { checked } from '../../../src/core/lightjson.ts';
import { SerialQueue } from '../../../src/core/serial.ts';
import type { Calls } from '../../../src/core/calls.ts';
import { connect } from '../../lib/channel.ts';
import { log } from '../../lib/rpc.ts';
import { CONTROL_PORT, type AgentConfig } from '../config.ts';
import { metadata as metadataSchema, type Metadata } from '../model.ts';
import type { ControlFunctions, FollowerFunctions } from '../protocol.ts';

export class Follower {
  readonly #turns = new SerialQueue();
  readonly #link: { close(): void };
  #version = 0;
  #settled = 0;

  /** `apply` resolves when the metadata rules here. `onControl`: a connection was made. */
  constructor(
    { self, nodes, silenceMs }: AgentConfig,
    secret: string,
    apply: (metadata: Metadata) => void | Promise<void>,
    onControl: (control: Calls<ControlFunctions>) => void = () => undefined,
  ) {
    const control = nodes.find((n) => n.role === 'control')!;
    const local: FollowerFunctions = {
      apply: (sent) =>
        this.#turns.run(async () => {
          const metadata = checked(metadataSchema, sent);
          if (metadata.version < this.#version) return;
          await apply(metadata);
          this.#version = metadata.version;
          log('info', 'follows', { version: metadata.version });
        }),
      settled: (version) => {
        this.#settled = checked(Type.Integer(), version);
      },
    };
    this.#link = connect<ControlFunctions>({
      address: control.address,
      port: CONTROL_PORT,
      secret,
      self: self.name,
      peer: control.name,
      local,
      silenceMs,
      onPeer: ({ call }) => onControl(call),
    });
  }

  get version(): number {
    return this.#version;
  }

  /** What rules here rules at all nodes. */
  get isSettled(): boolean {
    return this.#settled >= this.#version;
  }

  stop(): void {
    this.#link.close();
  }
}
