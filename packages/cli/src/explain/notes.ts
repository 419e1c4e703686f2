import type { Address } from '@keymux/client';
import type { Explanation, KeyStatement, MessageStatement } from './schema.ts';

type Statement = Omit<Explanation, 'notes'>;

/** What the picture alone does not tell. `host` is the name of the far end. */
export function notesOn({ keys, messages, basis }: Statement, host: string): string[] {
  const isSent = messages.every(({ what, used }) => what !== 'request' || used);
  return [
    ...keys.flatMap((key) => noteOnKey(key, basis)),
    ...(isSent ? messages.flatMap((message) => noteOnMessage(message, host)) : []),
    ...noteOnAnswers(keys, host),
  ];
}

/** What the carrier to the proxy changes of what is said about wire 1. */
export function carrierNotes(address: Address): string[] {
  if (address.kind === 'unix')
    return ['Wire 1 is a Unix socket: only processes of this machine can listen there.'];
  if (address.kind === 'tcp' || !['wss:', 'https:'].includes(address.url.protocol)) return [];
  return [
    'Wire 1 runs inside TLS: what is said here of its listener holds for who ends that TLS, such as a load balancer. keymux does not count on it.',
  ];
}

export function earlyNote(host: string): string {
  return `GET and HEAD go as early data: somebody on the way can repeat them to ${host}, and nothing protects them from who learns the key file later.`;
}

export function frontNote(host: string): string {
  return `A front stands before ${host}: it sees what a listener sees, and passes on what it cannot open.`;
}

function noteOnKey(key: KeyStatement, basis: Statement['basis']): string[] {
  const { name, with: party, keeper } = key;
  const kept =
    keeper === undefined
      ? []
      : [`[${name}] is made by the keeper at ${keeper}: this process has no long-term key for it.`];
  switch (key.proves) {
    case 'shared key':
      return [...kept, `[${name}] proves that ${party} holds the key file, as everybody does who holds it.`];
    case 'nobody':
      return [...kept, `[${name}] proves nobody: it keeps out who only listens, not who poses as ${party}.`];
    case 'identity':
      if (keeper !== undefined)
        return [...kept, `Who this side is, and who ${party} may be, is known to that keeper alone.`];
      return [
        `The authorized_keys of ${party} must have the line: ${key.own?.line}`,
        ...(basis === 'configuration' ? noteOnKnownHosts(key) : []),
      ];
  }
}

function noteOnKnownHosts({ known = [], knownAs, decidedBy }: KeyStatement): string[] {
  if (known.some(({ revoked }) => !revoked)) return [];
  if (knownAs === undefined)
    return ['A Unix socket has no name that an identity could be known for: it will be refused.'];
  const path = decidedBy.find(({ option }) => option === 'known-hosts')?.value;
  return [
    `No line of ${path} knows ${knownAs}: on a terminal you will be asked, elsewhere it ends with status 4.`,
  ];
}

function noteOnMessage({ what, when, on, used }: MessageStatement, host: string): string[] {
  const notes: string[] = [];
  if (on.some(({ sealedWith }) => sealedWith.filter((layer) => layer !== 'TLS').length > 1))
    notes.push(
      `The ${what} is sealed twice on wire 1, since the tunnel was opened for a request in the clear, which [a] protects.`,
    );
  if (!used)
    notes.push(
      `The ${what}${when === 'not prompted' ? ' in the clear' : ''} is thrown away: it is protected less than required.`,
    );
  else if (when === 'not prompted')
    notes.push(
      `If ${host} does not prompt for its key, or somebody swallows the prompt, the ${what} is taken in the clear; --level would refuse it.`,
    );
  if (what === 'payload')
    notes.push(
      `Behind the proxy the payload is as the program sends it; keymux seals it as far as the proxy at most.`,
    );
  return notes;
}

function noteOnAnswers(keys: readonly KeyStatement[], host: string): string[] {
  const key = keys.find(({ authority }) => authority !== '');
  if (key === undefined || key.when !== 'always') return [];
  return [
    `${host} may answer under a key of its own that speaks for it and is at least ${key.level}; [${key.name}] stands for that too.`,
  ];
}
