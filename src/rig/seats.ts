/** Which machine carries which node, and as what. Plain data. */

export interface Seat {
  readonly machine: string;
  /** A container of the machine's engine; else a network namespace. */
  readonly container: boolean;
}

/** By node. */
export type Seats = Readonly<Record<string, Seat>>;

/** The machine that netrig runs on, where no rig file names machines. */
export const LOCAL = 'local';

export const seatOf = (seats: Seats, node: string): Seat => seats[node] ?? { machine: LOCAL, container: false };
