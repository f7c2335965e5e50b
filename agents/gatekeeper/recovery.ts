/** Sender side of the control law: what a limiter's rate becomes, period by period. Pure. */

export interface LimiterState {
  readonly rateBps: number;
  /** Senders that shared the receiver when it last sent feedback. */
  readonly senders: number;
  /** The rate stands until then, in ms of the caller's clock. */
  readonly holdUntilMs: number;
  /** Since when the limiter has been at the maximum, in ms of the caller's clock; null: it is below. */
  readonly atMaximumSinceMs: number | null;
}

export interface RecoveryParameters {
  /** Aggregate increase per period that the receiver sees, whatever the number of senders (R4-10). */
  readonly increaseBps: number;
  readonly maximumBps: number;
  readonly timeoutMs: number;
}

export const afterFeedback = (
  { rateBps, senders, holdMs }: { rateBps: number; senders: number; holdMs: number },
  nowMs: number,
): LimiterState => ({ rateBps, senders: Math.max(1, senders), holdUntilMs: nowMs + holdMs, atMaximumSinceMs: null });

/** One period without feedback; null: the limiter has done its work and is removed. */
export function afterSilence(state: LimiterState, nowMs: number, p: RecoveryParameters): LimiterState | null {
  if (nowMs < state.holdUntilMs) return state;
  if (state.atMaximumSinceMs !== null) return nowMs - state.atMaximumSinceMs >= p.timeoutMs ? null : state;
  const rateBps = Math.min(p.maximumBps, state.rateBps + p.increaseBps / state.senders);
  return { ...state, rateBps, atMaximumSinceMs: rateBps >= p.maximumBps ? nowMs : null };
}
