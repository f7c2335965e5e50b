/** Sections of a report: packets in tunnels from host to host, and bytes of the control plane from node to node. From captures. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { isIn } from '../../../src/evidence/phases.ts';
import type { Part } from '../../../src/report/parts.ts';
import { ETCD_PORT } from '../../lib/etcd/server.ts';
import { framesAt, type SeenFrame } from './frames.ts';
import { placesOf } from './places.ts';

/** From node to node. Where both ends were captured the capture that has more counts. */
type Matrix = Map<string, Map<string, number>>;

interface Told {
  readonly name: string;
  readonly matrix: Matrix;
}

/** `amountOf`: what a frame adds; 0: it is none of those. */
function matrixOf({ evidence, phase }: Part, amountOf: (frame: SeenFrame) => number): Matrix {
  const places = placesOf(evidence);
  const all: Matrix = new Map();
  for (const { at } of evidence.captures) {
    const frames = framesAt(evidence, at, phase);
    if (typeof frames === 'string') continue;
    const own: Matrix = new Map();
    for (const frame of frames.filter(isIn(phase))) {
      const [from, to, amount] = [places.get(frame.source), places.get(frame.destination), amountOf(frame)];
      if (from === undefined || to === undefined || amount === 0) continue;
      add(own, from, to, (before) => before + amount);
    }
    for (const [from, row] of own) for (const [to, amount] of row) add(all, from, to, (before) => Math.max(before, amount));
  }
  return all;
}

function add(matrix: Matrix, from: string, to: string, change: (before: number) => number): void {
  const row = matrix.get(from) ?? new Map<string, number>();
  matrix.set(from, row.set(to, change(row.get(to) ?? 0)));
}

function section(told: readonly Told[], title: string, text: string): VNode | null {
  const some = told.filter(({ matrix }) => matrix.size > 0);
  if (some.length === 0) return null;
  const table = ({ name, matrix }: Told): VNode => {
    const from = [...matrix.keys()].sort();
    const to = [...new Set([...matrix.values()].flatMap((row) => [...row.keys()]))].sort();
    return html`<h3>${name}</h3><div class="scroll"><table><thead><tr><th scope="col">from</th>${to.map((t) => html`<th scope="col">to ${t}</th>`)}</tr></thead>
      <tbody>${from.map((f) => html`<tr><td>${f}</td>${to.map((t) => html`<td class="figure">${matrix.get(f)?.get(t) ?? ''}</td>`)}</tr>`)}</tbody></table></div>`;
  };
  return html`<section><h2>${title}</h2><p class="soft">${text}</p>${some.map(table)}</section>`;
}

/** R2-2, R2-24. */
export const passed = (parts: readonly Part[]): VNode | null =>
  section(
    parts.map((part) => ({ name: part.name, matrix: matrixOf(part, (f) => (f.inner ? 1 : 0)) })),
    'Packets in tunnels',
    'From host to host, as captures on the underlay show; first repeat. A path that has no column has no packet.',
  );

/** R2-4, R2-5, R2-13. */
export const asked = (parts: readonly Part[]): VNode | null =>
  section(
    parts.map((part) => ({
      name: part.name,
      matrix: matrixOf(part, (f) => (f.sourcePort === ETCD_PORT || f.destinationPort === ETCD_PORT ? f.bytes : 0)),
    })),
    'Control plane',
    'Bytes between hosts and controllers in these phases, as captures on the underlay show, TLS and TCP included; first repeat.',
  );
