/** A node that follows the control plane: what changes is applied in its order, one after the other. */
import { Type } from 'typebox';
import { checked } from '../../../src/core/lightjson.ts';
import { SerialQueue } from '../../../src/core/serial.ts';
import type { Calls } from '../../../src/core/calls.ts';
import { connect } from '../../lib/channel.ts';
import { log } from '../../lib/rpc.ts';
import { CONTROL_PORT, type AgentConfig } from '../config.ts';
import { change as changeSchema, changed } from '../changes.ts';
import { EMPTY, type Metadata } from '../model.ts';
import type { ControlFunctions, FollowerFunctions } from '../protocol.ts';

export class Follower {
  readonly #turns = new SerialQueue();
  readonly #link: { close(): void };
  readonly #apply: (metadata: Metadata) => void | Promise<void>;
  /** As it was told last. */
  #heard: Metadata = EMPTY;
  #version = 0;
  #settled = 0;
  #isDeaf = false;
  #unheard: Metadata | null = null;

  /** `apply` resolves when the metadata rules here. `onControl`: a connection was made. */
  constructor(
    { self, nodes, silenceMs }: AgentConfig,
    secret: string,
    apply: (metadata: Metadata) => void | Promise<void>,
    onControl: (control: Calls<ControlFunctions>) => void = () => undefined,
  ) {
    this.#apply = apply;
    const control = nodes.find((n) => n.role === 'control')!;
    const local: FollowerFunctions = {
      apply: (sent) =>
        this.#turns.run(async () => {
          const change = checked(changeSchema, sent);
          const metadata = changed(this.#heard, change);
          if (!metadata) throw new Error(`version ${this.#heard.version} is known here, not ${change.base}`);
          this.#heard = metadata;
          if (this.#isDeaf) this.#unheard = metadata;
          else await this.#follow(metadata);
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

  async #follow(metadata: Metadata): Promise<void> {
    if (metadata.version < this.#version) return;
    await this.#apply(metadata);
    this.#version = metadata.version;
    log('info', 'follows', { version: metadata.version });
  }

  /** An injected fault: what the control plane tells is lost, though it is told that it is not. */
  ignore(on: boolean): Promise<void> {
    return this.#turns.run(async () => {
      this.#isDeaf = on;
      const missed = this.#unheard;
      if (on || missed === null) return;
      this.#unheard = null;
      await this.#follow(missed);
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
