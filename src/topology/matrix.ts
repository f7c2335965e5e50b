/** Cells of the matrix: the cross product of the dimensions, each cell a merge patch of the file. */

export interface Cell {
  /** "" without a matrix; otherwise the values joined with "-". */
  readonly id: string;
  readonly variant: Readonly<Record<string, string>>;
}

type MatrixFile = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export function cellsOf(matrix: MatrixFile | undefined): Cell[] {
  let cells: Record<string, string>[] = [{}];
  for (const [dimension, values] of Object.entries(matrix ?? {})) {
    cells = cells.flatMap((cell) => Object.keys(values).map((value) => ({ ...cell, [dimension]: value })));
  }
  return cells.map((variant) => ({ id: Object.values(variant).join('-'), variant }));
}

/** RFC 7386: null removes, mappings merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const base = new Map(target !== null && typeof target === 'object' && !Array.isArray(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) base.delete(key);
    else base.set(key, mergePatch(base.get(key), value));
  }
  return Object.fromEntries(base);
}

/** Does a cell match a `when`? Every named dimension must hold one of the values. */
export function matches(
  when: Readonly<Record<string, string | readonly string[]>> | undefined,
  variant: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(when ?? {}).every(([dimension, values]) => {
    const value = variant[dimension];
    return value !== undefined && (typeof values === 'string' ? [values] : values).includes(value);
  });
}

/** `--filter udp` or `--filter mechanism=none`: all given filters must hold. */
export function selected(cell: Cell, filters: readonly string[]): boolean {
  return filters.every((filter) => {
    const [dimension, value] = filter.split('=', 2) as [string, string | undefined];
    return value === undefined ? cell.id === filter || Object.values(cell.variant).includes(filter) : cell.variant[dimension] === value;
  });
}
