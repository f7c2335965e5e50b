/**
 * A machine of a rig: a host that carries parts of labs. It keeps their journal itself, and can remove them with
 * nothing else, so that whoever reaches it can clean up after a dead orchestrator.
 */
import type { StepResult } from '../labs/batch.ts';
import type { Host } from '../hosts/host.ts';
import type { LabClaim, LabRecord } from '../labs/journal.ts';
import type { Lease, LeaseRequest } from '../leases/lease.ts';
import type { Chains, Step } from '../labs/steps.ts';

/** Where netrig's own programs are on a machine. */
export interface Runtime {
  /** The pinned Node. */
  readonly node: string;
  readonly nativeDir: string;
  readonly stateRoot: string;
  /** Socket of its Docker Engine, whether one runs or not. */
  readonly engine: string;
  /** Folders that containers must see to run agents and scripts. */
  readonly mounts: readonly string[];
}

export type FailedStep = Omit<StepResult, 'step'> & { readonly step: Pick<Step, 'title' | 'host' | 'argv'> };

export interface ApplyResult {
  /** The first step that failed, if it was a step. */
  readonly failed: FailedStep | null;
  /** null: every step succeeded. */
  readonly error: string | null;
}

export interface Machine extends Host {
  /** As in the rig file. */
  readonly name: string;
  /** The machine that netrig itself runs on: its clock, its evidence folder, its journal. */
  readonly isHere: boolean;
  readonly runtime: Runtime;
  /** When and why it could not be reached for a while: what happened meanwhile is not known. */
  readonly lost: readonly string[];
  /** Takes the lab's name on this machine; LAB_EXISTS. */
  claim(claim: LabClaim): Promise<void>;
  /** Journals the steps of a stage, then does them. */
  apply(lab: string, chains: Chains, signal?: AbortSignal): Promise<ApplyResult>;
  /** Removes everything of the lab that is there. Nothing there is no error. */
  release(lab: string): Promise<void>;
  labs(): Promise<readonly LabRecord[]>;
  /** Leases the machine, and removes what the owner of an expired lease left. The token; LEASE_HELD. */
  acquire(request: LeaseRequest): Promise<string>;
  /** Goes on with a lease that another process of the same owner acquired. */
  resume(token: string): Promise<void>;
  /** LEASE_LOST. */
  renew(ttlMs: number): Promise<void>;
  /** Gives the lease back, if this connection has it; `revoke`: whoever has it. */
  unlease(options?: { revoke?: boolean }): Promise<void>;
  lease(): Promise<Lease | null>;
  /** null: no engine answers. */
  engineVersion(): Promise<string | null>;
  hasImage(image: string): Promise<boolean>;
  /** From a root file system in a tar file there. */
  importImage(image: string, tar: string): Promise<void>;
  /** Its clock: epoch nanoseconds. */
  clockNs(): Promise<bigint>;
  /** Path there of a bundled script of this machine's. */
  install(bundle: string): Promise<string>;
  /** Where a file that belongs at this path of the evidence is written meanwhile. */
  spool(evidencePath: string): string;
  /** Brings a spooled file to its place. */
  collect(spooled: string, evidencePath: string): Promise<void>;
}
