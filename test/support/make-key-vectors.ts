import {
  ABOUT,
  byClient,
  byServer,
  CLOCK,
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
import { renegotiationVectors } from './make-renegotiation-vectors.ts';
import { signedVectors } from './make-signed-vectors.ts';
import { switchVectors } from './make-switch-vectors.ts';
import { anonymousVectors, hybridVectors, pskX25519Vectors } from './make-x25519-vectors.ts';
import {
  cat,
  envelope,
  expand,
  frame,
  longTermKeys,
  P,
  pskRun,
  type RunInputs,
  spipedRun,
  tagged,
  text,
} from './reference-keys.ts';

/**
 * Makes spec/vectors/negotiation-*.json, sealing.json and switch.json from the reference writing of the spec, with fixed
 * randomness. packages/keys/test/vectors.test.ts runs them and fails if the files are not what is made here; with KEYMUX_WRITE_VECTORS=1 it
 * writes them first.
 */
export function keyVectors(): Record<string, unknown> {
  return {
    'negotiation-psk.json': pskVectors(),
    'negotiation-spiped.json': spipedVectors(),
    'negotiation-psk-x25519.json': pskX25519Vectors(),
    'negotiation-anonymous.json': anonymousVectors(),
    'negotiation-signed.json': signedVectors(),
    'negotiation-hybrid.json': hybridVectors(),
    'renegotiation.json': renegotiationVectors(),
    'sealing.json': sealingVectors(),
    'switch.json': switchVectors(),
  };
}

function pskVectors() {
  const nonces = [random('nonce_I'), random('nonce_R')] as const;
  const made = (inputs: RunInputs, timestamp = CLOCK) => pskRun(inputs, timestamp, ...nonces);
  const run = (name: string, inputs: RunInputs) =>
    runVector(name, 1, inputs, made(inputs), [[nonces[0]], [nonces[1]]]);
  const inputs = byClient(0b10);
  const right = made(inputs);
  const [F1, F2] = right.frames as [Buffer, Buffer];
  const first = refusal('client', 'responder', 1);
  const second = refusal('client', 'initiator', 2);
  const keyed = (file: string) => made({ ...inputs, keyFile: random(file) }).frames;
  return {
    about: ['Vectors for ALG 1, psk: spec 3.4, 3.5 and 3.7.', ...ABOUT],
    ...keyPart(),
    runs: [run('client', inputs), run('server', byServer(0b111110))],
    refusals: [
      first('a tag made with another key', keyed('another key file')[0]),
      first('an unknown label', made({ ...inputs, label: 'k-0000000000000000' }).frames[0]),
      first(
        'a host that the key does not speak for',
        made({ ...inputs, authority: 'other.example' }).frames[0],
      ),
      first('a transcript of another depth', made({ ...inputs, depth: 1 }).frames[0]),
      first(
        'a transcript of the other side as initiator',
        made({ ...inputs, initiator: 'server' }).frames[0],
      ),
      first('an offer without its own algorithm', made({ ...inputs, offer: 0b100 }).frames[0]),
      first('an empty label', made({ ...inputs, label: '' }).frames[0]),
      first('a label with a path in it', made({ ...inputs, label: '../id_ed25519' }).frames[0]),
      first('a label in upper case', made({ ...inputs, label: 'MYKEY' }).frames[0]),
      first('an authority in upper case', made({ ...inputs, authority: 'Shop.example' }).frames[0]),
      first('a tag that was changed in its last bit', flip(F1, F1.length - 1)),
      first('a nonce that was changed', flip(F1, F1.length - 40)),
      first('a timestamp that was changed', flip(F1, F1.length - 65)),
      first('no FIN', reframe(F1, { flags: 0 })),
      first('RETIRE', reframe(F1, { flags: FIN | RETIRE })),
      first('REJECT', reframe(F1, { flags: FIN | REJECT })),
      first('another key ID', reframe(F1, { keyId: 3 })),
      first('a key ID of the other side', reframe(F1, { keyId: 2 })),
      first('a tag of 31 bytes', reframe(F1, { data: F1.subarray(12, -1) })),
      first('a byte after the tag', reframe(F1, { data: cat(F1.subarray(12), Buffer.of(0)) })),
      first('no data', reframe(F1, { data: Buffer.alloc(0) })),
      first(
        'a label length beyond the data',
        reframe(F1, { data: cat(F1.subarray(12, 16), Buffer.of(255)) }),
      ),
      { ...first('a timestamp 30,001 ms old', F1), clock: CLOCK + 30_001 },
      { ...first('a timestamp 30,001 ms ahead', F1), clock: CLOCK - 30_001 },
      first('a timestamp beyond all clocks', made(inputs, 2 ** 53).frames[0]),
      { ...first('the same message again', F1), repeat: true },
      rejected(first('an ALG_ID that does not exist', reframe(F1, { algorithm: 200 })), 1),
      second('a tag made with another key', keyed('another key file')[1]),
      second("a tag made with the initiator's tag key", withInitiatorsTag(right.transcripts[1], nonces[1])),
      second('a tag that was changed', flip(F2, F2.length - 32)),
      second('a nonce that was changed', flip(F2, 12)),
      second('the answer of another run', made({ ...inputs, offer: 0b110 }).frames[1]),
      second('its own message, reflected', F1),
      second('no FIN', reframe(F2, { flags: 0 })),
      second('RETIRE', reframe(F2, { flags: FIN | RETIRE, data: Buffer.alloc(0) })),
      second('another ALG_ID', reframe(F2, { algorithm: 2 })),
      second('a byte too few', reframe(F2, { data: F2.subarray(12, -1) })),
      second('a byte too many', reframe(F2, { data: cat(F2.subarray(12), Buffer.of(0)) })),
      second('a REJECT whose list is cut', reframe(F2, { flags: FIN | REJECT, data: Buffer.of(1, 2, 1) })),
      second(
        'a REJECT whose list does not ascend',
        reframe(F2, { flags: FIN | REJECT, data: Buffer.of(1, 2, 2, 1) }),
      ),
      second('a REJECT with a byte too many', reframe(F2, { flags: FIN | REJECT, data: Buffer.of(1, 0, 0) })),
      { ...second('the same message again', F2), repeat: true },
    ],
  };
}

function spipedVectors() {
  const [nonceC, nonceS, xC, xS] = ['nonce_C', 'nonce_S', 'x_C', 'x_S'].map(random) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  const made = (inputs: RunInputs, lies = {}) => spipedRun(inputs, nonceC, nonceS, xC, xS, lies);
  const run = (name: string, inputs: RunInputs) => ({
    ...runVector(name, 2, inputs, made(inputs), [
      [nonceC, xC],
      [nonceS, xS],
    ]),
    dk2: hex(made(inputs).dk2),
  });
  const inputs = byClient(0b100);
  const right = made(inputs);
  const [F1, F2, F3, F4] = right.frames as [Buffer, Buffer, Buffer, Buffer];
  const yC = BigInt(`0x${hex(F3.subarray(12, 268))}`);
  const first = refusal('client', 'responder', 1);
  const second = refusal('client', 'initiator', 2);
  const third = refusal('client', 'responder', 3);
  const fourth = refusal('client', 'initiator', 4);
  const edges = {
    '0': 0n,
    '1, the switch against forward secrecy': 1n,
    'p - 1': P - 1n,
    p: P,
    'p + 1': P + 1n,
    'p + 2, a second way to write 2': P + 2n,
    '2^2048 - 1': 2n ** 2048n - 1n,
  };
  const another = made({ ...inputs, keyFile: random('another key file') }).frames;
  return {
    about: ['Vectors for ALG 2, spiped: spec 3.4, 3.5 and 3.8.', ...ABOUT],
    ...keyPart(),
    runs: [run('client', inputs), run('server', byServer(0b111110))],
    refusals: [
      first('an offer without its own algorithm', made({ ...inputs, offer: 0b10 }).frames[0]),
      first('a label with a path in it', made({ ...inputs, label: '../id_ed25519' }).frames[0]),
      first('an authority in upper case', made({ ...inputs, authority: 'Shop.example' }).frames[0]),
      first('FIN', reframe(F1, { flags: FIN })),
      first('a key ID of the other side', reframe(F1, { keyId: 2 })),
      first('a nonce of 31 bytes', reframe(F1, { data: F1.subarray(12, -1) })),
      first('a byte after the nonce', reframe(F1, { data: cat(F1.subarray(12), Buffer.of(0)) })),
      rejected(first('an ALG_ID that does not exist', reframe(F1, { algorithm: 200 })), 1),
      second("nonce_S equal to nonce_C, the initiator's own", made(inputs, { nonceS: nonceC }).frames[1]),
      second('FIN', reframe(F2, { flags: FIN })),
      second('a nonce of 31 bytes', reframe(F2, { data: F2.subarray(12, -1) })),
      second('a byte too many', reframe(F2, { data: cat(F2.subarray(12), Buffer.of(0)) })),
      second('another ALG_ID', reframe(F2, { algorithm: 1 })),
      second('its own message, reflected', F1),
      second('message 4 before message 2', F4),
      ...Object.entries(edges).map(([name, y]) =>
        third(`y_C = ${name}, with the right h_C`, made(inputs, { yC: y }).frames[2]),
      ),
      third('h_C made with another key', another[2]),
      third('h_C that was changed', flip(F3, F3.length - 1)),
      third('y_C that was changed', flip(F3, 100)),
      third('no FIN', reframe(F3, { flags: 0 })),
      third('y_C without its leading byte', reframe(F3, { data: F3.subarray(13) })),
      third('a byte too many', reframe(F3, { data: cat(F3.subarray(12), Buffer.of(0)) })),
      third('message 1 again', F1),
      third("the responder's own message 4", F4),
      ...Object.entries(edges).map(([name, y]) =>
        fourth(`y_S = ${name}, with the right h_S`, made(inputs, { yS: y }).frames[3]),
      ),
      fourth(
        "y_S equal to y_C, the initiator's own, with the right h_S and tag",
        made(inputs, { yS: yC }).frames[3],
      ),
      fourth('h_S made with another key', another[3]),
      fourth('h_S that was changed', flip(F4, F4.length - 33)),
      fourth('a tag that was changed', flip(F4, F4.length - 1)),
      fourth(
        'the tag of a run with another offer',
        cat(F4.subarray(0, -32), made(byClient(0b110)).frames[3]?.subarray(-32) ?? F4),
      ),
      fourth(
        'the tag of a run for another host',
        cat(
          F4.subarray(0, -32),
          made({ ...inputs, authority: 'shop.example:8443' }).frames[3]?.subarray(-32) ?? F4,
        ),
      ),
      fourth('no tag', reframe(F4, { data: F4.subarray(12, -32) })),
      fourth('no FIN', reframe(F4, { flags: 0 })),
      fourth('its own message 3, reflected', F3),
      fourth('a REJECT after the first answer', reframe(F4, { flags: FIN | REJECT, data: Buffer.of(1, 0) })),
      { ...fourth('the same message again', F4), repeat: true },
      { ...third('the same message again', F3), repeat: true },
    ],
  };
}

function sealingVectors() {
  const keys = { key: random('sealing key'), iv: random('sealing iv').subarray(0, 12) };
  const other = { key: random('another sealing key'), iv: keys.iv };
  const PING = Buffer.from('800300060000000400000001', 'hex');
  const DATA = cat(Buffer.from('0000000101000005', 'hex'), text('hello'));
  const PADDING = Buffer.from('800300500000000300000000', 'hex').subarray(0, 11);
  const texts = [PING, DATA, cat(PING, DATA, PADDING), Buffer.alloc(66_560, 0x61)];
  const seal = (
    counter: number,
    plaintext: Buffer,
    changes: { keys?: typeof keys; direction?: number; keyId?: number; generation?: number } = {},
  ) =>
    envelope(
      changes.keys ?? keys,
      changes.direction ?? 1,
      changes.keyId ?? 1,
      changes.generation ?? 0,
      BigInt(counter),
      plaintext,
    );
  const [first, second] = texts.map((plaintext, counter) => seal(counter, plaintext)) as [
    ReturnType<typeof seal>,
    ReturnType<typeof seal>,
  ];
  const shown = ({ counter, head, aad, nonce, plaintext, body }: typeof first) => ({
    counter,
    head: hex(head),
    plaintext: hex(plaintext),
    aad: hex(aad),
    nonce: hex(nonce),
    body: hex(body),
  });
  const refused = (opened: number, why: string, { head, body }: { head: Buffer; body: Buffer }) => ({
    opened,
    why,
    head: hex(head),
    body: hex(body),
    expect: 'failure',
  });
  return {
    about: [
      'Vectors for spec 4.1. Bytes are in hexadecimal, numbers in decimal.',
      'key, iv, direction, keyId, generation: of one direction of one generation. envelopes: in order; head is the first 10 bytes of the SEALED frame, body the rest.',
      'refusals: after the first `opened` envelopes, this one comes. expect failure: session error KEY_FAILURE; nothing of the plaintext comes out, and nothing opens afterwards.',
    ],
    key: hex(keys.key),
    iv: hex(keys.iv),
    direction: 1,
    keyId: 1,
    generation: 0,
    envelopes: texts.slice(0, 3).map((plaintext, counter) => shown(seal(counter, plaintext))),
    refusals: [
      refused(1, 'the same envelope again', first),
      refused(0, 'an envelope was lost', second),
      refused(2, 'an envelope comes late', first),
      refused(0, 'sealed under another key', seal(0, PING, { keys: other })),
      refused(
        0,
        'sealed with another iv',
        seal(0, PING, { keys: { ...keys, iv: random('another iv').subarray(0, 12) } }),
      ),
      refused(0, 'sealed for the other direction', seal(0, PING, { direction: 2 })),
      refused(0, 'key ID in the head changed', { ...first, head: flip(first.head, 8) }),
      refused(0, 'generation in the head changed', { ...first, head: flip(first.head, 9) }),
      refused(0, 'flags in the head changed', { ...first, head: flip(first.head, 4) }),
      refused(0, 'length in the head changed', { ...first, head: flip(first.head, 7) }),
      refused(0, 'ciphertext changed', { ...first, body: flip(first.body, 0) }),
      refused(0, 'tag changed', { ...first, body: flip(first.body, first.body.length - 1) }),
      ...[0, 4, 8, 12, 15].map((length) =>
        refused(0, `a tag of ${length} bytes`, {
          ...first,
          body: first.body.subarray(0, first.body.length - 16 + length),
        }),
      ),
      refused(0, 'ciphertext cut by a byte', {
        ...first,
        body: cat(first.body.subarray(0, 11), first.body.subarray(12)),
      }),
      refused(0, 'a byte added', { ...first, body: cat(first.body, Buffer.of(0)) }),
      refused(0, 'no plaintext', seal(0, Buffer.alloc(0))),
      refused(0, 'no body', { ...first, body: Buffer.alloc(0) }),
    ],
  };
}

/** F_2 of psk, tagged as if it were F_1: what a reflection would look like if both sides used one tag key. */
function withInitiatorsTag(T1: Buffer | undefined, nonceR: Buffer): Buffer {
  const { Kpsk } = longTermKeys(KEY_FILE);
  const untagged = frame(1, 1, FIN, cat(nonceR, Buffer.alloc(32)));
  return tagged(untagged, () => expand(Kpsk, text('keymux/1 psk initiator'), 32), T1 ?? untagged);
}
