/** Addresses of a network as another one sees them. Pure. */
import { contains, prefixOf, type Prefix } from '../lib/prefix.ts';
import type { Mapping, Network } from './model.ts';

/** `real` and `as` are of one length, address by address. */
export interface Translation {
  readonly real: Prefix;
  readonly as: Prefix;
}

/** By mappings that are approved. */
export const translationsFor = (mappings: readonly Mapping[], network: string, viewer: string): Translation[] =>
  mappings
    .filter((m) => m.network === network && m.approved && (m.viewers === null || m.viewers.includes(viewer)))
    .map(({ real, as }) => ({ real: prefixOf(real), as: prefixOf(as) }));

/** Prefixes of a network that no translation covers: they are seen as they are. */
export const untranslated = ({ prefixes }: Network, translations: readonly Translation[]): Prefix[] =>
  prefixes.map(prefixOf).filter((p) => !translations.some(({ real }) => real.length <= p.length && contains(real, p)));
