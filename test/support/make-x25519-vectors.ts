import {
  ABOUT,
  byClient,
  byServer,
  FIN,
  flip,
  hex,
  KEY_FILE,
  keyPart,
  REJECT,
  RETIRE,
  random,
  reframe,
  refusal,
  rejected,
  runVector,
} from './key-vector-parts.ts';
import { cat, expand, longTermKeys, number, type RunInputs, tagged, text } from './reference-keys.ts';
import {
  anonymousRun,
  type HybridLies,
  type HybridRandom,
  hybridRun,
  type PublicLies,
  pskX25519Run,
  publicOf,
} from './reference-x25519.ts';

const P = 2n ** 255n - 19n;
const little = (value: bigint): Buffer => number(value, 32).reverse();

/** Public values that give an all-zero secret with every key (RFC 7748, 6.1), in all their spellings that fit. */
const SMALL_ORDER: Readonly<Record<string, Buffer>> = {
  '0': little(0n),
  '1': little(1n),
  'of order 8': Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex'),
  'of order 8, the other': Buffer.from(
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'hex',
  ),
  'p - 1': little(P - 1n),
  'p, a second way to write 0': little(P),
  'p + 1, a second way to write 1': little(P + 1n),
  '2^255, a third way to write 0': little(2n ** 255n),
};

const FIRST = random('e_I');
const SECOND = random('e_R');
const OTHER = random('another ephemeral key');

/** What goes wrong with the first message of every algorithm that names a long-term key. */
function firstMessages(
  F1: Buffer,
  made: (changes: Partial<RunInputs>) => Buffer | undefined,
  provesKey: boolean,
) {
  const first = refusal('client', 'responder', 1);
  const proofs = [
    first('a proof made with another key', made({ keyFile: random('another key file') })),
    first('an unknown label', made({ label: 'k-0000000000000000' })),
    first('a transcript of another depth', made({ depth: 1 })),
    first('a transcript of the other side as initiator', made({ initiator: 'server' })),
    first('an offer that was changed', flip(F1, 15)),
    first('an ephemeral key that was changed', flip(F1, 40)),
    first('a proof that was changed in its last bit', flip(F1, F1.length - 1)),
    first('another key ID', reframe(F1, { keyId: 3 })),
  ];
  return [
    ...(provesKey ? proofs : []),
    first('a host that the key may not speak for', made({ authority: 'other.example' })),
    first('an offer without its own algorithm', made({ offer: 0b10 })),
    first('an empty label', made({ label: '' })),
    first('a label with a path in it', made({ label: '../id_ed25519' })),
    first('an authority in upper case', made({ authority: 'Shop.example' })),
    first('no FIN', reframe(F1, { flags: 0 })),
    first('RETIRE', reframe(F1, { flags: FIN | RETIRE })),
    first('REJECT', reframe(F1, { flags: FIN | REJECT })),
    first('a key ID of the other side', reframe(F1, { keyId: 2 })),
    first('a byte too few', reframe(F1, { data: F1.subarray(12, -1) })),
    first('a byte too many', reframe(F1, { data: cat(F1.subarray(12), Buffer.of(0)) })),
    first('no data', reframe(F1, { data: Buffer.alloc(0) })),
    first('a label length beyond the data', reframe(F1, { data: cat(F1.subarray(12, 16), Buffer.of(255)) })),
    { ...first('the same message again', F1), repeat: true },
    rejected(first('an ALG_ID that does not exist', reframe(F1, { algorithm: 200 })), 1),
  ];
}

/** What goes wrong with the answer of every algorithm of two messages. `made` is the answer of another run. */
function secondMessages(
  [F1, F2]: readonly [Buffer, Buffer],
  made: (changes: Partial<RunInputs>) => Buffer | undefined,
) {
  const second = refusal('client', 'initiator', 2);
  return [
    second('the answer of a run with another offer', made({ offer: 0b1111110 })),
    second('the answer of a run for another host', made({ authority: 'shop.example:8443' })),
    second('the answer of a run at another depth', made({ depth: 1 })),
    second('the answer of a run with another key ID', reframe(made({ keyId: 3 }) ?? F2, { keyId: 1 })),
    second('a public value that was changed', flip(F2, 12)),
    second('a public value with its unused bit set', flip(F2, 43, 0x80)),
    second('a proof that was changed in its last bit', flip(F2, F2.length - 1)),
    second('an undefined flag', reframe(F2, { flags: FIN | 0x80 })),
    second('its own message, reflected', F1),
    second('no FIN', reframe(F2, { flags: 0 })),
    second('RETIRE', reframe(F2, { flags: FIN | RETIRE, data: Buffer.alloc(0) })),
    second('another ALG_ID', reframe(F2, { algorithm: 1 })),
    second('a byte too few', reframe(F2, { data: F2.subarray(12, -1) })),
    second('a byte too many', reframe(F2, { data: cat(F2.subarray(12), Buffer.of(0)) })),
    second('a REJECT whose list is cut', reframe(F2, { flags: FIN | REJECT, data: Buffer.of(1, 2, 1) })),
    { ...second('the same message again', F2), repeat: true },
  ];
}

export function pskX25519Vectors() {
  const made = (inputs: RunInputs, lies?: PublicLies) => pskX25519Run(inputs, FIRST, SECOND, lies);
  const run = (name: string, inputs: RunInputs) => {
    const { k1, k2, ...transcribed } = made(inputs);
    return { ...runVector(name, 3, inputs, transcribed, [[FIRST], [SECOND]]), k1: hex(k1), k2: hex(k2) };
  };
  const inputs = byClient(0b1000);
  const [F1, F2] = made(inputs).frames as [Buffer, Buffer];
  const first = refusal('client', 'responder', 1);
  const second = refusal('client', 'initiator', 2);
  const changed = (index: number) => (changes: Partial<RunInputs>) =>
    made({ ...inputs, ...changes }).frames[index];
  return {
    about: ['Vectors for ALG 3, psk-x25519: spec 3.4, 3.5 and 3.10.', ...ABOUT],
    ...keyPart(),
    runs: [run('client', inputs), run('server', byServer(0b1111110))],
    refusals: [
      ...firstMessages(F1, changed(0), true),
      first('the label of anonymous keys', made({ ...inputs, label: 'anonymous' }).frames[0]),
      ...Object.entries(SMALL_ORDER).map(([name, eI]) =>
        first(`e_I = ${name}, with the right tag`, made(inputs, { eI }).frames[0]),
      ),
      ...secondMessages([F1, F2], changed(1)),
      second('the answer of a holder of another key', changed(1)({ keyFile: random('another key file') })),
      second('the answer to another ephemeral key', pskX25519Run(inputs, OTHER, SECOND).frames[1]),
      second('e_R = e_I, with the right tag', made(inputs, { eR: publicOf(FIRST) }).frames[1]),
      ...Object.entries(SMALL_ORDER).map(([name, eR]) =>
        second(`e_R = ${name}, with the right tag`, made(inputs, { eR }).frames[1]),
      ),
    ],
  };
}

export function anonymousVectors() {
  const named = (inputs: RunInputs): RunInputs => ({ ...inputs, label: 'anonymous' });
  const made = (inputs: RunInputs, lies?: PublicLies) => anonymousRun(inputs, FIRST, SECOND, lies);
  const run = (name: string, inputs: RunInputs) =>
    runVector(name, 5, inputs, made(inputs), [[FIRST], [SECOND]]);
  const inputs = named(byClient(0b100000));
  const [F1, F2] = made(inputs).frames as [Buffer, Buffer];
  const first = refusal('client', 'responder', 1);
  const second = refusal('client', 'initiator', 2);
  const changed = (index: number) => (changes: Partial<RunInputs>) =>
    made({ ...inputs, ...changes }).frames[index];
  const { authorities, label } = keyPart();
  return {
    about: [
      'Vectors for ALG 5, anonymous: spec 3.4, 3.5 and 3.11. Both sides allow anonymous keys for `authorities`.',
      ...ABOUT,
    ],
    label: 'anonymous',
    authorities,
    runs: [run('client', inputs), run('server', named(byServer(0b100000)))],
    refusals: [
      ...firstMessages(F1, changed(0), false),
      first('the label of a key', made({ ...inputs, label }).frames[0]),
      ...Object.entries(SMALL_ORDER).map(([name, eI]) =>
        first(`e_I = ${name}`, made(inputs, { eI }).frames[0]),
      ),
      ...secondMessages([F1, F2], changed(1)),
      second('the answer to another ephemeral key', anonymousRun(inputs, OTHER, SECOND).frames[1]),
      second('e_R = e_I, with the right tag', made(inputs, { eR: publicOf(FIRST) }).frames[1]),
      ...Object.entries(SMALL_ORDER).map(([name, eR]) =>
        second(`e_R = ${name}, with the right tag`, made(inputs, { eR }).frames[1]),
      ),
    ],
  };
}

export function hybridVectors() {
  const seed = cat(random('d'), random('z'));
  const drawn: HybridRandom = { secretI: FIRST, seed, secretR: SECOND, m: random('m') };
  const made = (inputs: RunInputs, lies?: HybridLies) => hybridRun(inputs, drawn, lies);
  const run = (name: string, inputs: RunInputs) =>
    runVector(name, 6, inputs, made(inputs), [
      [FIRST, seed],
      [SECOND, drawn.m],
    ]);
  const inputs = byClient(0b1000000);
  const { frames, transcripts } = made(inputs);
  const [F1, F2] = frames as [Buffer, Buffer];
  const { Kpsk } = longTermKeys(KEY_FILE);
  const ek = F1.subarray(-32 - 1184, -32);
  const ct = F2.subarray(-32 - 1088, -32);
  const first = refusal('client', 'responder', 1);
  const second = refusal('client', 'initiator', 2);
  const changed = (index: number) => (changes: Partial<RunInputs>) =>
    made({ ...inputs, ...changes }).frames[index];
  const overflow = (offset: number, ...bytes: number[]) =>
    made(inputs, { ek: cat(ek.subarray(0, offset), Buffer.from(bytes), ek.subarray(offset + bytes.length)) });
  const half = (secret: NonNullable<HybridLies['secret']>) => made(inputs, { secret }).frames[1];
  const zero = Buffer.alloc(32);
  return {
    about: [
      'Vectors for ALG 6, hybrid: spec 3.4, 3.5 and 3.12. Random values of the initiator: e_I, then d || z of ML-KEM; of the responder: e_R, then m.',
      ...ABOUT,
    ],
    ...keyPart(),
    runs: [run('client', inputs), run('server', byServer(0b1111110))],
    refusals: [
      ...firstMessages(F1, changed(0), true),
      first('the label of anonymous keys', made({ ...inputs, label: 'anonymous' }).frames[0]),
      first('an encapsulation key that was changed', flip(F1, F1.length - 100)),
      first(
        'an encapsulation key whose first number is q, with the right tag',
        overflow(0, 0x01, 0x0d).frames[0],
      ),
      first(
        'an encapsulation key whose last number is 4095, with the right tag',
        overflow(1150, 0xff, 0xff).frames[0],
      ),
      first(
        "a tag made with the responder's label",
        tagged(F1, () => expand(Kpsk, text('keymux/1 hybrid responder'), 32), transcripts[0] as Buffer),
      ),
      ...Object.entries(SMALL_ORDER).map(([name, eI]) =>
        first(`e_I = ${name}, with the right tag`, made(inputs, { eI }).frames[0]),
      ),
      ...secondMessages([F1, F2], changed(1)),
      second('the answer of a holder of another key', changed(1)({ keyFile: random('another key file') })),
      second('a ciphertext that was changed', flip(F2, 100)),
      second(
        'a ciphertext that was changed, with the tag of who made it before (implicit rejection)',
        made(inputs, { ct: flip(ct, 0) }).frames[1],
      ),
      second(
        'a ciphertext for another key, with the tag of who made it (implicit rejection)',
        made(inputs, {
          ct: hybridRun(inputs, { ...drawn, seed: cat(OTHER, OTHER) }).frames[1]?.subarray(44, -32) ?? ct,
        }).frames[1],
      ),
      second(
        'a tag made without the secret of ML-KEM',
        half(({ dh, Kpsk }) => cat(zero, dh, Kpsk)),
      ),
      second(
        'a tag made without the secret of X25519',
        half(({ kem, Kpsk }) => cat(kem, zero, Kpsk)),
      ),
      second(
        'a tag made without the shared key',
        half(({ kem, dh }) => cat(kem, dh, zero)),
      ),
      second(
        'a tag made with the secrets exchanged',
        half(({ kem, dh, Kpsk }) => cat(dh, kem, Kpsk)),
      ),
      second('e_R = e_I, with the right tag', made(inputs, { eR: publicOf(FIRST) }).frames[1]),
      ...Object.entries(SMALL_ORDER).map(([name, eR]) =>
        second(`e_R = ${name}, with the right tag`, made(inputs, { eR }).frames[1]),
      ),
    ],
  };
}
