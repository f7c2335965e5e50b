/** What the nodes of the PoP system say to each other (agents/lib/channel.ts). R3 section 5 leaves schema and protocol open. */

/** TCP: where PoP management servers listen for their units, and for the controller. */
export const MANAGER_PORT = 5830;

/** An entry as units get it: addresses, "0.0.0.0" for none. */
export interface WireSlot {
  readonly table: number;
  readonly index: number;
  readonly server: string;
  readonly target: string;
  readonly previousPops: readonly [string, string];
  readonly handoff: string;
  /** New connections go to the target. */
  readonly away: boolean;
  /** Connections that are here stay here. */
  readonly keep: boolean;
}

/** What a forwarding unit does for its management server. */
export interface UnitFunctions {
  /** Takes effect as a whole. Resolves to the version that rules then. */
  program(update: { readonly version: number; readonly slots: readonly WireSlot[] }): Promise<number>;
  /** Edges keep what their management server must not forget. */
  remember(text: string): void;
  recall(): string | null;
}

/** What a server has seen since its last report (R3 section 3.1). */
export interface ServerFeedback {
  /** CPU of its capacity. */
  readonly load: number;
  readonly requests: number;
  /** Answers that say that something went wrong. */
  readonly failed: number;
  /** 95 % of requests took less, milliseconds; null: there were none. */
  readonly latencyMs: number | null;
  /** By its own check. */
  readonly healthy: boolean;
}

export interface PopFeedback {
  readonly pop: string;
  /** Version of its policies while it was measured, from beginning to end. */
  readonly version: number;
  readonly servers: Readonly<Record<string, ServerFeedback>>;
  /** Round trip to the management servers of the others. */
  readonly distanceMs: Readonly<Record<string, number>>;
}

/** Amounts by service, then by PoP that serves instead. */
export type Policies = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface ManagerStatus {
  readonly version: number;
  readonly policies: Policies;
  /** Entries by service and where they point; '' is here. */
  readonly entries: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly servers: readonly string[];
  /** Version that each unit has. */
  readonly units: Readonly<Record<string, number>>;
}

/** What a management server does for its units and servers. */
export interface ManagerUnitFunctions {
  feedback(report: ServerFeedback): void;
}

/** What it does for the controller. */
export interface ManagerControlFunctions {
  /**
   * Policies of the PoP from now on. Resolves when all its units have them. Refused: OutOfDate (an older version),
   * Unreachable (a unit does not take them; it is tried again).
   */
  apply(update: { readonly version: number; readonly policies: Policies }): Promise<{ readonly changed: number }>;
  query(): Promise<ManagerStatus>;
  /** Feedback now, not at the next interval (R3-29). */
  pull(): PopFeedback;
}

/** What the controller does for management servers. */
export interface ControllerFunctions {
  feedback(report: PopFeedback): void;
}
