/** Changes of who is attached: the attach gate, mappings of networks that overlap, networks of other accounts. Pure. */
import { prefixOf, type Prefix } from '../../lib/prefix.ts';
import type { Attachment, Mapping, Metadata } from '../model.ts';
import { refuse } from '../../lib/params.ts';
import { checkedPrefix } from '../operations.ts';
import { domainOf, networkOf, type Edit, type Params } from './edit.ts';
import { conflictsOf, mappingProblem, resolve, type Conflict } from './overlap.ts';

export interface AttachmentAnswer {
  readonly network: string;
  readonly state: Attachment['state'];
  /** AddressOverlapDetected: what nothing resolves yet. */
  readonly overlaps: readonly Conflict[];
  readonly mappings: readonly Mapping[];
}

export function attach(
  metadata: Metadata,
  { network, domain, propagates, mappings = [] }: Params<'AttachIsolatedNetwork'>,
  atMs: number,
): Edit<AttachmentAnswer> {
  const { account, link } = networkOf(metadata, network);
  if (account !== null && !metadata.accounts.includes(account))
    refuse('NotShared', `the hub is not shared with ${account}, whose ${network} is`);
  if (metadata.attachments.some((a) => a.network === network)) refuse('AlreadyExists', `"${network}" is attached`);
  const own = domainOf(metadata, domain);
  const to = (propagates ?? [own.name]).map((name) => domainOf(metadata, name).name);
  const elsewhere = to.find((name) => domainOf(metadata, name).hub !== own.hub);
  if (elsewhere !== undefined) refuse('InvalidRequest', `${elsewhere} is of another hub than ${own.name}: hubs share routes by links only`);
  if (link && link.hub !== own.hub) refuse('InvalidRequest', `${network} is the end of a link in ${link.hub}, not in ${own.hub}`);
  const attachment: Attachment = { network, domain: own.name, propagates: to, state: account === null ? 'pending' : 'unapproved' };
  if (account !== null && mappings.length > 0) refuse('NotApproved', `mappings of ${network} are supplied once it is approved`);
  const attached = { ...metadata, attachments: [...metadata.attachments, attachment] };
  return settle(supplied(attached, network, mappings, atMs), network, atMs);
}

/** Pending attachments become attached where no address is ambiguous any more. What is attached stays so: the later one has to wait. */
export function released(metadata: Metadata): Metadata {
  const conflicts = conflictsOf(metadata);
  const waits = (name: string): boolean => conflicts.some((c) => [c.network, c.other, c.viewer].includes(name));
  const attachments = metadata.attachments.map((a): Attachment =>
    a.state === 'pending' && !waits(a.network) ? { ...a, state: 'attached' } : a,
  );
  return { ...metadata, attachments };
}

/** What is ambiguous among networks that are attached: no change may leave it so. */
export function unresolved(metadata: Metadata): Conflict[] {
  const isWaiting = (name: string): boolean => metadata.attachments.some((a) => a.network === name && a.state === 'pending');
  return conflictsOf(metadata).filter((c) => ![c.network, c.other, c.viewer].some(isWaiting));
}

/** R1-49. Networks of an account that it is not shared with any more are not attached any more. */
export function shareHub(metadata: Metadata, { accounts }: Params<'ShareVTHWithAccounts'>): Edit<{ accounts: readonly string[] }> {
  const isKept = ({ network }: Attachment): boolean => {
    const { account } = networkOf(metadata, network);
    return account === null || accounts.includes(account);
  };
  const gone = metadata.attachments.filter((a) => !isKept(a)).map((a) => a.network);
  const left = gone.reduce((m, network) => without(m, network), metadata);
  return { metadata: { ...left, accounts }, concerns: gone.length > 0 ? null : new Set(), answer: { accounts } };
}

function unapproved(metadata: Metadata, network: string): Attachment {
  const attachment = attachmentOf(metadata, network);
  return attachment.state === 'unapproved' ? attachment : refuse('NothingProposed', `"${network}" waits for no approval`);
}

export function approveAttachment(metadata: Metadata, { network }: Params<'ApproveAttachment'>, atMs: number): Edit<AttachmentAnswer> {
  const waiting = unapproved(metadata, network);
  const attachments = metadata.attachments.map((a): Attachment => (a === waiting ? { ...a, state: 'pending' } : a));
  return settle({ ...metadata, attachments }, network, atMs);
}

export function rejectAttachment(metadata: Metadata, { network }: Params<'RejectAttachment'>): Edit<{ network: string }> {
  unapproved(metadata, network);
  return { metadata: without(metadata, network), concerns: null, answer: { network } };
}

/** A client's mappings, if they can be used. */
function supplied(metadata: Metadata, network: string, mappings: Params<'SupplyTranslationMapping'>['mappings'], atMs: number): Metadata {
  return mappings.reduce((before: Metadata, { real, as, viewers }) => {
    const mapping: Mapping = {
      network,
      real: checkedPrefix(real),
      as: checkedPrefix(as),
      viewers: viewers ? viewers.map((v) => networkOf(before, v).name) : null,
      origin: 'client',
      approved: true,
      atMs,
    };
    const problem = mappingProblem(before, mapping);
    if (problem !== undefined) refuse('InvalidMapping', problem);
    return { ...before, mappings: [...before.mappings, mapping] };
  }, metadata);
}

/** The attach gate. */
function settle(metadata: Metadata, network: string, atMs: number): Edit<AttachmentAnswer> {
  const made = automatic(metadata, atMs);
  const next = { ...metadata, mappings: [...metadata.mappings, ...made] };
  const settled = released(next);
  return {
    metadata: settled,
    concerns: null,
    answer: {
      network,
      state: attachmentOf(settled, network).state,
      overlaps: conflictsOf(settled).filter((c) => [c.network, c.other, c.viewer].includes(network)),
      mappings: next.mappings.filter((m) => m.network === network || made.includes(m)),
    },
  };
}

/** What the hub resolves by itself: nothing before it is told to. */
export const automatic = (metadata: Metadata, atMs: number): Mapping[] =>
  metadata.pool.length === 0 ? [] : resolved(metadata, metadata.pool.map(prefixOf), atMs, true);

function resolved(metadata: Metadata, pool: readonly Prefix[], atMs: number, approved: boolean): Mapping[] {
  try {
    return resolve(metadata, pool, atMs, approved);
  } catch (error) {
    if (error instanceof RangeError) return refuse('NoCapacity', error.message);
    throw error;
  }
}

const attachmentOf = ({ attachments }: Metadata, network: string): Attachment =>
  attachments.find((a) => a.network === network) ?? refuse('NotAttached', `"${network}" is not attached`);

export function supply(
  metadata: Metadata,
  { network, mappings }: Params<'SupplyTranslationMapping'>,
  atMs: number,
): Edit<AttachmentAnswer> {
  if (attachmentOf(metadata, network).state === 'unapproved') refuse('NotApproved', `"${network}" is not approved yet`);
  return settle(supplied(metadata, network, mappings, atMs), network, atMs);
}

/** Option C of R1 section 3: the service proposes, the client approves. */
export function propose(
  metadata: Metadata,
  { network, pool }: Params<'ProposeTranslationMapping'>,
  atMs: number,
): Edit<{ mappings: readonly Mapping[] }> {
  attachmentOf(metadata, network);
  const made = resolved(
    metadata,
    pool.map((p) => prefixOf(checkedPrefix(p))),
    atMs,
    false,
  );
  return { metadata: { ...metadata, mappings: [...metadata.mappings, ...made] }, concerns: new Set(), answer: { mappings: made } };
}

export function approve(metadata: Metadata, { network }: Params<'ApproveTranslationMapping'>, atMs: number): Edit<AttachmentAnswer> {
  attachmentOf(metadata, network);
  if (metadata.mappings.every((m) => m.approved)) refuse('NothingProposed', 'no mapping waits for approval');
  const isMeant = (m: Mapping): boolean => m.network === network || (m.viewers?.includes(network) ?? false);
  const mappings = metadata.mappings.map((m) => (isMeant(m) ? { ...m, approved: true } : m));
  return settle({ ...metadata, mappings }, network, atMs);
}

/** Its mappings go with it: nothing is seen under their addresses any more. */
export function detach(metadata: Metadata, { network }: Params<'DetachIsolatedNetwork'>): Edit<{ network: string }> {
  attachmentOf(metadata, network);
  return { metadata: without(metadata, network), concerns: null, answer: { network } };
}

const without = (metadata: Metadata, network: string): Metadata =>
  released({
    ...metadata,
    attachments: metadata.attachments.filter((a) => a.network !== network),
    mappings: metadata.mappings.filter((m) => m.network !== network),
  });
