/** What the nodes of a hub call at each other (lib/channel.ts). */
import type { Metadata } from './model.ts';

/** Of DMNs, AINs and gateways, for the control plane. */
export interface FollowerFunctions {
  /** Resolves when it rules there. */
  apply(metadata: Metadata): Promise<void>;
}

/** Of the control plane, for those that follow it. */
export type ControlFunctions = Record<string, never>;
