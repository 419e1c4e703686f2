import type { KeyStatement, MessageStatement, WireStatement } from './schema.ts';

/** A message on its way, before it is said who can read it. */
export interface Passage {
  readonly what: string;
  readonly when?: MessageStatement['when'];
  /** What the message is to somebody who can read it on a wire. */
  readonly fact: WireStatement['sees'][number]['fact'];
  readonly detail: string;
  /** On each wire that it takes: what it is sealed with, the outer first. */
  readonly on: readonly { readonly wire: WireName; readonly sealedWith: readonly string[] }[];
  readonly used?: boolean;
}

type WireName = WireStatement['name'];
type Party = MessageStatement['readers'][number];

/** The name of the key with the proxy, and of that with the host. */
export const [HOP_KEY, HOST_KEY] = ['a', 'b'];

/** Who can read a message: everybody who gets it with nothing around it that he cannot open. */
export function stateMessage(passage: Passage, keys: readonly KeyStatement[]): MessageStatement {
  const { what, when = 'always', on, used = true } = passage;
  const passive = new Set(keys.filter(({ level }) => level === 'passive').map(({ name }) => name));
  const readers: Party[] = ['client'];
  const impostors: Party[] = [];
  const judge = (party: Party, sealedWith: readonly string[]): void => {
    if (sealedWith.length === 0) readers.push(party);
    else if (sealedWith.every((layer) => passive.has(layer))) impostors.push(party);
  };
  const [first, second] = on;
  if (first !== undefined) judge(first.wire, first.sealedWith);
  const endsAtProxy = passage.fact === 'destination';
  if (endsAtProxy) readers.push('proxy');
  else if (second !== undefined)
    judge(
      'proxy',
      (first?.sealedWith ?? []).filter((layer) => layer !== HOP_KEY),
    );
  if (second !== undefined) judge(second.wire, second.sealedWith);
  if (!endsAtProxy) readers.push('host');
  return {
    what,
    when,
    on: on.map(({ wire, sealedWith }) => ({ wire, sealedWith: [...sealedWith] })),
    ...{ readers, impostors, used },
  };
}

/** What somebody gets who listens on a wire. */
export function stateSight(
  wire: WireName,
  passages: readonly Passage[],
  negotiations: readonly KeyStatement[],
): WireStatement['sees'] {
  const open = passages.filter(({ on }) =>
    on.some((place) => place.wire === wire && place.sealedWith.length === 0),
  );
  return [
    ...negotiations.flatMap(({ name, label, authority, when }) => [
      { fact: 'label' as const, when, detail: label, key: name },
      ...(authority === '' ? [] : [{ fact: 'host' as const, when, detail: authority, key: name }]),
    ]),
    ...open.map(({ fact, detail, when = 'always' }) => ({ fact, when, detail })),
  ];
}
