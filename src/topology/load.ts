/** The only door into src/topology: a file on disk to an experiment, or one error that lists every problem. */
import { NetrigError } from '../core/errors.ts';
import { looksOf } from '../core/sequential.ts';
import { isName } from '../core/names.ts';
import { isList } from '../core/readonly.ts';
import { MAX_CELL_VALUES, MAX_CELLS, namesProblems, tooMany } from './bounds.ts';
import { cellsOf, mergePatch, selected, type Cell } from './matrix.ts';
import type { Experiment, Lab } from './model.ts';
import {
  invalid,
  MAX_PROBLEMS,
  placed,
  SourceDocument,
  type Findings,
  type LocatedProblem,
  type Path,
  type Problem,
} from '../core/config/problems.ts';
import type { CheckDefinitions } from './checks.ts';
import { resolveLab } from './resolve.ts';
import { checkNeeds, validateTargets } from './targets.ts';
import { topologySchema, type TopologyFile } from './schema.ts';
import type { When } from './target.ts';
import { listed, problemsOf, suggest } from '../core/config/validate.ts';
import { Substitution, type Scalar } from './variables.ts';
import { isMapping, parseYaml, readSource } from '../core/config/yaml.ts';

export interface LoadOptions {
  /** --set key=value */
  readonly set?: Readonly<Record<string, string>>;
  /** Values of a rig file, for those of its variables that the file declares; `set` goes before them. */
  readonly rigVars?: Readonly<Record<string, string>>;
  readonly filter?: readonly string[];
  readonly repeat?: number;
  /** Most repeats of a cell whose measurements are not decided; instead of the file's. */
  readonly untilDecided?: number;
  /** Deploy under another name. */
  readonly name?: string;
  /** Checks by name: those that there are, of which some may be left out that no target names. */
  readonly checksOf: (named: readonly string[]) => Promise<CheckDefinitions>;
  /** What is wrong with BPF filters; null: nothing. Absent: they are not checked. */
  readonly checkFilters?: (filters: readonly string[]) => Promise<readonly (string | null)[]>;
  /** Problems that only a system knows. */
  readonly checkSystems?: (lab: Lab) => Promise<Problem[]>;
}

export async function loadExperiment(file: string, options: LoadOptions): Promise<{ experiment: Experiment; source: string }> {
  const source = await readSource(file);
  return { experiment: await parseExperiment(file, source, options), source };
}

export async function parseExperiment(file: string, source: string, options: LoadOptions): Promise<Experiment> {
  const { raw, values, document } = parseYaml(file, source);
  const base = isMapping(raw) ? raw : {};
  checkShell(file, raw, document);
  const matrix = (base['matrix'] ?? undefined) as Record<string, Record<string, unknown>> | undefined;
  checkCells(file, matrix ?? {}, values, document);
  const allCells = cellsOf(matrix);
  const cells = allCells.filter((cell) => selected(cell, options.filter ?? []));
  if (cells.length === 0) {
    throw new NetrigError('USAGE', `--filter ${(options.filter ?? []).join(' --filter ')} selects no cell`, {
      hint: `cells: ${listed(allCells.map((c) => c.id))}`,
    });
  }
  const located: LocatedProblem[] = [];
  const ids = allCells.map((c) => c.id);
  const twin = allCells.find((c, i) => ids.indexOf(c.id) !== i);
  if (twin)
    located.push(
      locate(
        {
          path: ['matrix'],
          message: `two cells of the matrix are called "${twin.id}"`,
          hint: 'choose values that do not contain each other\'s "-"',
        },
        document,
        { id: '', variant: {} },
      ),
    );
  const labs: Lab[] = [];
  const warnings = new Set<string>();
  let first: TopologyFile | undefined;
  let unlocated = 0;
  const captures: { cell: Cell; filters: readonly (string | undefined)[] }[] = [];
  for (const cell of cells) {
    const { file: cellFile, problems, warnings: own = [] } = await buildCell(base, cell, options, labs);
    for (const warning of own) warnings.add(placed(file, locate(warning, document, cell)));
    if (problems.length === 0) captures.push({ cell, filters: (cellFile.capture ?? []).map((c) => c.filter) });
    first ??= problems.length > 0 ? undefined : cellFile;
    for (const p of problems.slice(0, MAX_PROBLEMS)) located.push(locate(p, document, cell));
    unlocated += Math.max(0, problems.length - MAX_PROBLEMS);
    if (located.length >= MAX_PROBLEMS) break;
  }
  located.push(...(await filterProblems(captures, options)).map(({ problem, cell }) => locate(problem, document, cell)));
  if (located.length > 0 || !first) throw invalid(file, located, 'TOPOLOGY_INVALID', unlocated);
  if ((first.targets ?? []).length > 0 && labs.every((lab) => lab.targets.length === 0)) {
    throw invalid(file, [
      locate({ path: ['targets'], message: 'no target applies to any of the selected cells: the run would judge nothing' }, document, {
        id: '',
        variant: {},
      }),
    ]);
  }
  return {
    name: options.name ?? first.name,
    description: first.description ?? '',
    cells: labs,
    warnings: [...warnings],
    ...repeatsOf(options.repeat ?? first.repeat ?? 1, options.untilDecided ?? first['until-decided']),
    dimensions: Object.fromEntries(Object.entries(matrix ?? {}).map(([dimension, values]) => [dimension, Object.keys(values)])),
  };
}

/** Filters of all cells at once: asking costs a process. */
async function filterProblems(
  captures: readonly { cell: Cell; filters: readonly (string | undefined)[] }[],
  { checkFilters }: LoadOptions,
): Promise<{ problem: Problem; cell: Cell }[]> {
  const filters = [...new Set(captures.flatMap((c) => c.filters.filter((f) => f !== undefined)))];
  if (!checkFilters || filters.length === 0) return [];
  const answers = await checkFilters(filters);
  const wrong = new Map(filters.flatMap((filter, i) => (answers[i] == null ? [] : [[filter, answers[i]] as const])));
  return captures.flatMap(({ cell, filters: own }) =>
    own.flatMap((filter, c) => {
      const why = filter === undefined ? undefined : wrong.get(filter);
      return why === undefined
        ? []
        : [
            {
              cell,
              problem: { path: ['capture', c, 'filter'], message: `"${filter}": ${why}`, hint: 'as tcpdump writes it: pcap-filter(7)' },
            },
          ];
    }),
  );
}

function repeatsOf(repeat: number, atMost: number | undefined): Pick<Experiment, 'repeat' | 'looks'> {
  return { repeat, looks: atMost === undefined || atMost <= repeat ? null : looksOf(repeat, atMost) };
}

/** Each stage needs the one before to have passed: variables, schema, references, systems, what targets need. */
async function buildCell(
  base: Record<string, unknown>,
  cell: Cell,
  options: LoadOptions,
  labs: Lab[],
): Promise<{ file: TopologyFile; problems: readonly Problem[]; warnings?: readonly Problem[] }> {
  const { file, problems: unknowns } = expandCell(base, cell, options.set ?? {}, options.rigVars ?? {});
  if (unknowns.length > 0) return { file, problems: unknowns };
  const ranges = namesProblems(file);
  if (ranges.length > 0) return { file, problems: ranges };
  const targets = listOf(file.targets);
  const checks = await options.checksOf(targets.flatMap((t) => (isMapping(t) && typeof t['check'] === 'string' ? [t['check']] : [])));
  const mismatches = [
    ...problemsOf(topologySchema, file, 'topology').filter((p) => p.path[0] !== 'targets' || p.path.length < 2),
    ...validateTargets(targets, checks),
  ];
  if (mismatches.length > 0) return { file, problems: mismatches };
  const findings: Findings = { problems: [], warnings: [] };
  findings.problems.push(...checkConditions(file, (base['matrix'] ?? {}) as Record<string, Record<string, unknown>>));
  const lab = resolveLab({ file, cell: cell.id, variant: cell.variant }, options.name ?? file.name, checks, findings);
  if (findings.problems.length > 0) return { file, ...findings };
  labs.push(lab);
  const problems = (await options.checkSystems?.(lab)) ?? [];
  return { file, problems: problems.length > 0 ? problems : checkNeeds(file.targets ?? [], lab, checks), warnings: findings.warnings };
}

/** The file is not validated yet. */
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** A condition on a dimension or value that the matrix does not have would silently never hold. */
function checkConditions(file: TopologyFile, matrix: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Problem[] {
  const problems: Problem[] = [];
  const check = (when: When | undefined, path: Path): void => {
    for (const [dimension, values] of Object.entries(when ?? {})) {
      const known = Object.hasOwn(matrix, dimension) ? matrix[dimension] : undefined;
      if (!known) {
        const near = suggest(dimension, Object.keys(matrix));
        problems.push({
          path: [...path, dimension],
          atKey: true,
          message: `the matrix has no dimension "${dimension}"`,
          hint: near ? `did you mean "${near}"?` : `dimensions: ${Object.keys(matrix).join(', ') || 'none'}`,
        });
        continue;
      }
      for (const value of typeof values === 'string' ? [values] : values) {
        if (Object.hasOwn(known, value)) continue;
        const near = suggest(value, Object.keys(known));
        problems.push({
          path: [...path, dimension],
          message: `"${dimension}" has no value "${value}"`,
          hint: near ? `did you mean "${near}"?` : `values: ${listed(Object.keys(known))}`,
        });
      }
    }
  };
  (file.targets ?? []).forEach((target, t) => {
    check(target.when, ['targets', t, 'when']);
    check(target['relative-to']?.cell, ['targets', t, 'relative-to', 'cell']);
    const expectation = target['expect-fail'];
    if (isList(expectation)) expectation.forEach((when, w) => check(when, ['targets', t, 'expect-fail', w]));
    else if (typeof expectation === 'object') check(expectation, ['targets', t, 'expect-fail']);
  });
  (file.capture ?? []).forEach((capture, c) => check(capture.when, ['capture', c, 'when']));
  return problems;
}

/** What must hold before variants can even be formed. */
function checkShell(file: string, raw: unknown, document: SourceDocument): void {
  const problems: Problem[] = [];
  if (!isMapping(raw))
    problems.push({ path: [], message: 'expected a mapping with "name" and "topology"', hint: 'see topologies/hello.yaml' });
  else {
    const matrix = raw['matrix'];
    if (matrix !== undefined && !isMapping(matrix)) problems.push({ path: ['matrix'], message: 'expected a mapping of dimensions' });
    for (const [dimension, values] of Object.entries(isMapping(matrix) ? matrix : {})) {
      if (!isMapping(values) || Object.keys(values).length === 0) {
        problems.push({
          path: ['matrix', dimension],
          message: 'expected a mapping of values to merge patches',
          hint: 'e.g. load: { idle: {}, udp: { vars: { load: udp } } }',
        });
        continue;
      }
      for (const [value, patch] of Object.entries(values)) {
        if (!isName(value)) problems.push({ path: ['matrix', dimension, value], atKey: true, message: `"${value}" cannot name a variant` });
        if (patch !== null && !isMapping(patch))
          problems.push({ path: ['matrix', dimension, value], message: 'expected a merge patch (a mapping)' });
        for (const key of ['matrix', 'name', 'repeat', 'description']) {
          if (isMapping(patch) && key in patch)
            problems.push({ path: ['matrix', dimension, value, key], atKey: true, message: `a variant cannot change "${key}"` });
        }
      }
    }
    const vars = raw['vars'];
    if (vars !== undefined && !isMapping(vars)) problems.push({ path: ['vars'], message: 'expected a mapping of names to values' });
  }
  if (problems.length > 0)
    throw invalid(
      file,
      problems.map((p) => locate(p, document, { id: '', variant: {} })),
    );
}

/** Before any cell is made. */
function checkCells(file: string, matrix: Readonly<Record<string, object>>, values: number, document: SourceDocument): void {
  const cells = Object.values(matrix).reduce((product, dimension) => product * Object.keys(dimension).length, 1);
  const problem =
    tooMany(cells, MAX_CELLS, 'cells', ['matrix']) ??
    tooMany(cells * values, MAX_CELL_VALUES, `values (${cells} cells of a file of ${values})`, ['matrix']);
  if (problem) throw invalid(file, [locate(problem, document, { id: '', variant: {} })]);
}

function expandCell(
  base: Record<string, unknown>,
  cell: Cell,
  set: Readonly<Record<string, string>>,
  rigVars: Readonly<Record<string, string>>,
): { file: TopologyFile; problems: Problem[] } {
  const problems: Problem[] = [];
  const { matrix, ...rest } = base;
  let merged: unknown = rest;
  for (const [dimension, value] of Object.entries(cell.variant)) {
    merged = mergePatch(merged, (matrix as Record<string, Record<string, unknown>>)[dimension]?.[value] ?? {});
  }
  const file = merged as Record<string, unknown>;
  const declared = (isMapping(file['vars']) ? file['vars'] : {}) as Record<string, Scalar>;
  for (const key of Object.keys(set)) {
    if (Object.hasOwn(declared, key)) continue;
    const near = suggest(key, Object.keys(declared));
    problems.push({
      path: ['vars'],
      message: `--set ${key}: the file declares no such variable`,
      hint: near ? `did you mean "${near}"?` : `variables: ${Object.keys(declared).join(', ') || 'none'}`,
    });
  }
  // A variable may use variables declared before it.
  const variables: Record<string, Scalar> = {};
  const substitution = new Substitution(problems);
  const fromRig = Object.fromEntries(Object.entries(rigVars).filter(([key]) => Object.hasOwn(declared, key)));
  const given = { ...typedAs(declared, fromRig, 'the rig’s', problems), ...typedAs(declared, set, '--set', problems) };
  for (const [key, value] of Object.entries({ ...declared, ...given })) {
    variables[key] = substitution.in(value, variables, ['vars', key]) as Scalar;
  }
  return { file: substitution.in({ ...file, vars: variables }, variables, []) as TopologyFile, problems };
}

/** Texts from elsewhere, as what the file has declared: a number stays a number. */
function typedAs(
  declared: Readonly<Record<string, Scalar>>,
  given: Readonly<Record<string, string>>,
  from: string,
  problems: Problem[],
): Record<string, Scalar> {
  return Object.fromEntries(
    Object.entries(given).map(([key, text]): [string, Scalar] => {
      const is = declared[key];
      if (typeof is === 'number' && text.trim() !== '' && Number.isFinite(Number(text))) return [key, Number(text)];
      if (typeof is === 'boolean' && (text === 'true' || text === 'false')) return [key, text === 'true'];
      if (typeof is === 'number' || typeof is === 'boolean')
        problems.push({
          path: ['vars', key],
          message: `${from} ${key}: expected a ${typeof is}, found "${text}"`,
          hint: `the file has ${String(is)}`,
        });
      return [key, text];
    }),
  );
}

/** A value may come from the file or from a variant's patch: the patch that was merged last wins. */
function locate(problem: Problem, document: SourceDocument, cell: Cell): LocatedProblem {
  let path: Path = problem.path;
  for (const [dimension, value] of Object.entries(cell.variant).reverse()) {
    const patched: Path = ['matrix', dimension, value, ...problem.path];
    if (problem.path.length > 0 && document.has(patched)) {
      path = patched;
      break;
    }
  }
  const { line, column } = document.locate(path, problem.atKey);
  return { line, column, message: problem.message, ...(problem.hint ? { hint: problem.hint } : {}) };
}
