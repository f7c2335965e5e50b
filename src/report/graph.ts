/** The topology as a picture. */
import { describeImpairment } from '../topology/fabric.ts';
import type { Fabric, Link } from '../topology/model.ts';
import { isImpaired } from '../topology/lab.ts';

const SHAPES = { linux: 'box', bridge: 'ellipse', 'ovs-bridge': 'hexagon' } as const;
const quote = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

function linkLabel(link: Link): string {
  const [forward, back] = link.impairments.map(describeImpairment) as [string, string];
  if (!link.impairments.some(isImpaired)) return '';
  return forward === back ? forward : `→ ${forward}\\n← ${back}`;
}

export function renderDot({ nodes, links }: Fabric): string {
  const nodeLines = nodes.map((n) => {
    const labels = Object.entries(n.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(' ');
    return `  ${quote(n.name)} [shape=${SHAPES[n.kind]}, label=${quote(`${n.name}${labels ? `\\n${labels}` : ''}`).replaceAll('\\\\n', '\\n')}];`;
  });
  const linkLines = links.map(
    (l) =>
      `  ${quote(l.ends[0].node)} -- ${quote(l.ends[1].node)} [label=${quote(linkLabel(l)).replaceAll('\\\\n', '\\n')}, taillabel=${quote(l.ends[0].interface)}, headlabel=${quote(l.ends[1].interface)}];`,
  );
  return `graph topology {
  graph [overlap=false, splines=true, sep="+20", bgcolor="transparent"];
  node [fontname="sans-serif", fontsize=12, style=filled, fillcolor="#eef2f7", color="#55657a"];
  edge [fontname="sans-serif", fontsize=9, color="#55657a", fontcolor="#55657a"];
${nodeLines.join('\n')}
${linkLines.join('\n')}
}
`;
}

/** Graphviz (as WebAssembly), loaded only when a picture is wanted. */
export async function renderSvg(fabric: Fabric): Promise<string> {
  const { instance } = await import('@viz-js/viz');
  return (await instance()).renderString(renderDot(fabric), { format: 'svg', engine: 'neato' });
}

export function renderMermaid({ nodes, links }: Fabric): string {
  const shape = (name: string, kind: keyof typeof SHAPES) =>
    ({ linux: `${name}["${name}"]`, bridge: `${name}(["${name}"])`, 'ovs-bridge': `${name}{{"${name}"}}` })[kind];
  const edges = links.map((l) => {
    const label = linkLabel(l).replaceAll('\\n', '<br/>');
    return `  ${l.ends[0].node} ---${label ? `|"${label}"|` : ''} ${l.ends[1].node}`;
  });
  return `graph LR\n${nodes.map((n) => `  ${shape(n.name, n.kind)}`).join('\n')}\n${edges.join('\n')}\n`;
}
