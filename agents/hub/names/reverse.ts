/** Names of addresses (RFC 1035 section 3.5, RFC 3596 section 2.5), as PTR questions have them. Pure. */
import { addressBytes, addressFromBytes, bitsOf, type Address, type Family, type Prefix } from '../../lib/prefix.ts';

/** Under a zone, a label for each part of an address, the last part first. */
const ZONES: readonly { readonly family: Family; readonly zone: string; readonly bits: number }[] = [
  { family: 4, zone: '.in-addr.arpa', bits: 8 },
  { family: 6, zone: '.ip6.arpa', bits: 4 },
];

/** Labels of a name that are the address's own. */
export function addressLabels(address: Address): string[] {
  const bytes = addressBytes(address);
  const labels = address.family === 4 ? [...bytes].map(String) : Array.from(bytes.toString('hex'));
  return labels.reverse();
}

/** The addresses that a name, in small letters, is of: one, or those of a zone. undefined: it is of none. */
export function prefixOfName(name: string): Prefix | undefined {
  for (const { family, zone, bits } of ZONES) {
    if (!name.endsWith(zone)) continue;
    const labels = name.slice(0, -zone.length).split('.').reverse();
    const most = bitsOf(family) / bits;
    if (labels.length > most || !labels.every(family === 4 ? isOctet : isNibble)) return undefined;
    const padded = [...labels, ...Array.from({ length: most - labels.length }, () => '0')];
    const bytes = family === 4 ? Buffer.from(padded.map(Number)) : Buffer.from(padded.join(''), 'hex');
    return { ...addressFromBytes(bytes), length: labels.length * bits };
  }
  return undefined;
}

const isOctet = (label: string): boolean => /^(0|[1-9][0-9]{0,2})$/.test(label) && Number(label) < 256;
const isNibble = (label: string): boolean => /^[0-9a-f]$/.test(label);

/** The zone of addresses of one prefix, whose length ends with a label. */
export function zoneOfPrefix(prefix: Prefix): string {
  const { zone, bits } = ZONES.find(({ family }) => family === prefix.family)!;
  return (
    addressLabels(prefix)
      .slice((bitsOf(prefix.family) - prefix.length) / bits)
      .join('.') + zone
  );
}

/** The address that a name is of. undefined: it is of none, or of several. */
export function addressOfName(name: string): Address | undefined {
  const prefix = prefixOfName(name);
  return prefix?.length === (prefix && bitsOf(prefix.family)) ? prefix : undefined;
}
