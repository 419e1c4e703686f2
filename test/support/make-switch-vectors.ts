import { flip, hex, random } from './key-vector-parts.ts';
import {
  cat,
  generationKeys,
  H,
  keySwitch,
  number,
  type SwitchFields,
  switchDigest,
  switchProof,
  text,
} from './reference-keys.ts';

/** Makes spec/vectors/switch.json (spec 4.5) from the reference writing of the spec. */

interface Generation {
  readonly keyId: number;
  readonly generation: number;
}

const [A, NEWER_A, B, NEWER_B] = [
  { keyId: 1, generation: 0 },
  { keyId: 1, generation: 1 },
  { keyId: 3, generation: 0 },
  { keyId: 3, generation: 1 },
] as const;
const CLEAR: Generation = { keyId: 0, generation: 0 };

function keyOf({ keyId, generation }: Generation) {
  const [S, DI, DR] = [`S ${keyId} ${generation}`, `D_I ${keyId}`, `D_R ${keyId}`].map(random) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  return { S, DI, DR, ...generationKeys(S, generation, DI, DR) };
}

/** What happens before the KEY_SWITCH, towards its receiver. */
type Step =
  | { readonly under: Generation; readonly frames: readonly Buffer[] }
  | { readonly establish: Generation };

/** A KEY_SWITCH that is right. */
interface Case {
  readonly name: string;
  readonly from: 'client' | 'server';
  /** SYN_STREAM of the receiver that the direction answers. */
  readonly question?: { readonly under: Generation; readonly frame: Buffer };
  readonly before: readonly Step[];
  readonly fields: SwitchFields;
  readonly to: Generation;
  readonly proves?: Generation;
  /** E. */
  readonly digest: Buffer;
}

// GET /, plain and compressed.
const HEADERS = [
  [':method', 'GET'],
  [':path', '/'],
] as const;
const PLAIN = cat(
  number(HEADERS.length, 4),
  ...HEADERS.flat().map((word) => cat(number(word.length, 4), text(word))),
);
const COMPRESSED = Buffer.from('38ace3c6a7c202e50e507ab442a45a77d7105006b32a4804974d8cfa00000000ffff', 'hex');

const control = (type: number, body: Buffer): Buffer =>
  cat(number(0x80030000 + type, 4), number(body.length, 4), body);
const syn = (slot: number, block: Buffer): Buffer =>
  control(1, cat(number(1, 4), number(0, 4), Buffer.of(0x60, slot), block));
const DATA = cat(number(1, 4), number(5, 4), text('hello'));
const PING = (id: number): Buffer => control(6, number(id, 4));
const CREDIT = control(9, cat(number(1, 4), number(1, 4)));
const update = (count: number): Buffer => control(0x56, number(count, 8));
const headOf = ({ keyId, generation }: Generation, ...frames: Buffer[]): Buffer =>
  cat(number(0x80030053, 4), number(cat(...frames).length + 18, 4), Buffer.of(keyId, generation));
const fields = (streamId: number, previous: Generation, count: number): SwitchFields => ({
  ...{ streamId, previousKeyId: previous.keyId, previousGeneration: previous.generation, count },
});
const fromClear = keySwitch(fields(1, CLEAR, 1), switchDigest(1, [syn(0, COMPRESSED)], undefined));
const sessionFromClear = (id: number): Buffer => keySwitch(fields(0, CLEAR, 1), H(PING(id)));

const toKey = (from: 'client' | 'server', id: number): Case => ({
  name: `session frames of the ${from}, key to key`,
  from,
  before: [
    { under: CLEAR, frames: [PING(id)] },
    { under: A, frames: [sessionFromClear(id)] },
    { under: A, frames: [PING(id)] },
  ],
  fields: fields(0, A, 2),
  to: B,
  proves: A,
  digest: H(PING(id), headOf(A, sessionFromClear(id)), headOf(A, PING(id))),
});

const CASES: readonly Case[] = [
  {
    name: 'a stream, clear to key',
    from: 'client',
    before: [{ under: CLEAR, frames: [syn(0, COMPRESSED), DATA] }],
    fields: fields(1, CLEAR, 2),
    to: B,
    digest: switchDigest(1, [syn(0, COMPRESSED), DATA], undefined),
  },
  {
    name: 'a stream, key to key',
    from: 'client',
    before: [{ under: A, frames: [syn(1, PLAIN), DATA] }],
    fields: fields(1, A, 2),
    to: B,
    proves: A,
    digest: switchDigest(1, [], undefined),
  },
  {
    name: 'a stream, second generation to second generation',
    from: 'client',
    before: [
      { under: A, frames: [syn(1, PLAIN)] },
      { establish: NEWER_A },
      { under: NEWER_A, frames: [update(1), DATA] },
      { establish: NEWER_B },
    ],
    fields: fields(1, NEWER_A, 2),
    to: NEWER_B,
    proves: NEWER_A,
    digest: switchDigest(1, [], undefined),
  },
  {
    name: 'a stream that has been silent since the generation before',
    from: 'client',
    before: [
      { under: A, frames: [syn(1, PLAIN)] },
      { establish: NEWER_A },
      { under: NEWER_A, frames: [update(1)] },
    ],
    fields: fields(1, A, 1),
    to: B,
    proves: A,
    digest: switchDigest(1, [], undefined),
  },
  {
    name: 'a stream, clear, key, key',
    from: 'client',
    before: [
      { under: CLEAR, frames: [syn(0, COMPRESSED)] },
      { under: A, frames: [fromClear, DATA] },
    ],
    fields: fields(1, A, 2),
    to: B,
    proves: A,
    digest: switchDigest(1, [syn(0, COMPRESSED)], undefined),
  },
  {
    name: 'an answer to a question under another key',
    from: 'server',
    question: { under: A, frame: syn(1, PLAIN) },
    before: [{ establish: NEWER_A }],
    fields: fields(1, CLEAR, 0),
    to: B,
    proves: A,
    digest: switchDigest(1, [], syn(1, PLAIN)),
  },
  {
    name: "an answer that began under the question's key",
    from: 'server',
    question: { under: A, frame: syn(1, PLAIN) },
    before: [{ under: A, frames: [CREDIT] }],
    fields: fields(1, A, 1),
    to: B,
    proves: A,
    digest: switchDigest(1, [], syn(1, PLAIN)),
  },
  {
    name: 'session frames, clear to key',
    from: 'client',
    before: [{ under: CLEAR, frames: [PING(1)] }],
    fields: fields(0, CLEAR, 1),
    to: A,
    digest: H(PING(1)),
  },
  toKey('client', 1),
  toKey('server', 2),
];

const d = (from: Case['from']): number => (from === 'client' ? 1 : 2);

/** The frame of a case, with some of what it says changed where the proof is made (`inProof`), in the frame (`said`), or both. */
interface Lies {
  readonly inProof?: Partial<SwitchFields>;
  readonly said?: Partial<SwitchFields>;
  readonly digest?: Buffer;
  readonly to?: Generation;
  readonly d?: number;
  readonly proofKey?: Buffer;
}

function frameOf(made: Case, lies: Lies = {}): Buffer {
  const { from, to, proves, digest: E } = made;
  const said = { ...made.fields, ...lies.said };
  const digest = lies.digest ?? E;
  const key = lies.proofKey ?? (proves && keyOf(proves).switchKey);
  if (key === undefined) return keySwitch(said, digest);
  return keySwitch(
    said,
    switchProof(key, lies.d ?? d(from), { ...said, ...lies.inProof }, lies.to ?? to, digest),
  );
}

function refusalsOf(made: Case): object[] {
  const { name, from, to, fields: right, proves } = made;
  const refusal = (why: string, frame: Buffer) => ({ case: name, why, frame: hex(frame), expect: 'failure' });
  const other = random('another digest');
  const { count, streamId, previousKeyId, previousGeneration } = right;
  const common = [
    refusal('a count too high', frameOf(made, { said: { count: count + 1 } })),
    refusal('a count beyond 2^32', frameOf(made, { said: { count: count + 2 ** 32 } })),
    refusal('another previous key', frameOf(made, { said: { previousKeyId: previousKeyId + 4 } })),
    refusal(
      'another previous generation',
      frameOf(made, { said: { previousGeneration: previousGeneration + 1 } }),
    ),
    refusal('the digest of another past', frameOf(made, { digest: other })),
    refusal('32 zero bytes in the place of the digest', keySwitch(right, Buffer.alloc(32))),
    refusal('the last bit of the digest changed', flip(frameOf(made), 55)),
    refusal('the first bit of the digest changed', flip(frameOf(made), 24, 0x80)),
    refusal('a proof of the new key', frameOf(made, { proofKey: keyOf(to).switchKey })),
  ];
  if (count > 0) common.push(refusal('a count too low', frameOf(made, { said: { count: count - 1 } })));
  if (previousKeyId > 0) {
    const asClear = { ...right, previousKeyId: 0, previousGeneration: 0 };
    common.push(
      refusal('the digest without a proof, and a past in the clear', keySwitch(asClear, made.digest)),
    );
  }
  if (proves === undefined) return common;
  const { client, server, exporter, S } = keyOf(proves);
  const otherGeneration = { ...proves, generation: 1 - proves.generation };
  return [
    ...common,
    refusal('the digest without a proof', keySwitch(right, made.digest)),
    refusal('a proof of another generation', frameOf(made, { proofKey: keyOf(otherGeneration).switchKey })),
    refusal('a proof made with the exporter', frameOf(made, { proofKey: exporter })),
    refusal('a proof made with the sealing key of the client', frameOf(made, { proofKey: client.key })),
    refusal('a proof made with the sealing key of the server', frameOf(made, { proofKey: server.key })),
    refusal('a proof made with S', frameOf(made, { proofKey: S })),
    refusal('a proof made with a key of zeros', frameOf(made, { proofKey: Buffer.alloc(32) })),
    refusal('a proof for the other direction', frameOf(made, { d: 3 - d(from) })),
    refusal('a proof for another stream', frameOf(made, { inProof: { streamId: streamId + 2 } })),
    refusal('a proof for another count', frameOf(made, { inProof: { count: count + 1 } })),
    refusal('a proof for another previous key', frameOf(made, { inProof: { previousKeyId: 5 } })),
    refusal('a proof for another previous generation', frameOf(made, { inProof: { previousGeneration: 7 } })),
    refusal('a proof for another key', frameOf(made, { to: { ...to, keyId: 5 } })),
    refusal('a proof for another generation of the new key', frameOf(made, { to: { ...to, generation: 7 } })),
    refusal('its halves exchanged', exchanged(frameOf(made))),
    {
      ...refusal('the right frame, to a receiver that does not hold the key before', frameOf(made)),
      lacks: proves,
    },
  ];
}

function exchanged(frame: Buffer): Buffer {
  return cat(frame.subarray(0, 24), frame.subarray(40), frame.subarray(24, 40));
}

export function switchVectors() {
  return {
    about: [
      'Vectors for spec 4.5, with the switch keys of 3.5. Bytes are in hexadecimal, numbers in decimal.',
      'keys: what both sides hold: all with generation 0 from the beginning, the others from `establish` on. S, digests (D_I, D_R) and switchKey are those of 3.5.',
      'cases: KEY_SWITCH frames that are taken. `from` is its sender. question: a SYN_STREAM that the receiver has sent, the first frame in an envelope of `under`. before: what has reached the receiver from the sender, in order, each `under` the clear (key ID 0) or in one envelope. to: the envelope that the KEY_SWITCH stands in. proves: P, where there is one. digest: E.',
      "refusals: `frame` comes in the place of the frame of `case`. lacks: the receiver does not hold this generation's switch key. expect failure: session error KEY_FAILURE; nothing goes on under the new key.",
    ],
    keys: [A, NEWER_A, B, NEWER_B].map((generation) => {
      const { S, DI, DR, switchKey } = keyOf(generation);
      return {
        ...generation,
        S: hex(S),
        digests: { initiator: hex(DI), responder: hex(DR) },
        switchKey: hex(switchKey),
      };
    }),
    cases: CASES.map((made) => ({
      name: made.name,
      from: made.from,
      ...(made.question && {
        question: { under: made.question.under, headers: HEADERS, frame: hex(made.question.frame) },
      }),
      before: made.before.map((step) =>
        'frames' in step ? { ...step, frames: step.frames.map(hex) } : step,
      ),
      ...made.fields,
      to: made.to,
      ...(made.proves && { proves: made.proves }),
      digest: hex(made.digest),
      frame: hex(frameOf(made)),
      expect: 'taken',
    })),
    refusals: CASES.flatMap(refusalsOf),
  };
}
