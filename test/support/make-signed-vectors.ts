import {
  ABOUT,
  byClient,
  byServer,
  FIN,
  flip,
  hex,
  REJECT,
  RETIRE,
  random,
  reframe,
  refusal,
  rejected,
  runVector,
} from './key-vector-parts.ts';
import { cat, number, type RunInputs } from './reference-keys.ts';
import {
  identityOf,
  type ProofLies,
  publicLine,
  type SignedLies,
  type SignedSecrets,
  signedRun,
} from './reference-signed.ts';
import { publicOf } from './reference-x25519.ts';

const SECRETS: SignedSecrets = {
  secretI: random('e_I'),
  secretR: random('e_R'),
  seedI: random('identity of the initiator'),
  seedR: random('identity of the responder'),
};
const MALLORY = random('identity of somebody else');
const LABEL = 'signed';
const little = (value: bigint): Buffer => number(value, 32).reverse();

/** The neutral point as identity: for it there is a signature that fits every message, if the verifier lets it be a key. */
const NEUTRAL = cat(Buffer.of(1), Buffer.alloc(31));
const WEAK: ProofLies = { identity: NEUTRAL, mac: NEUTRAL, signature: cat(NEUTRAL, Buffer.alloc(32)) };

/** Makes spec/vectors/negotiation-signed.json, as make-key-vectors.ts does for the other algorithms. */
export function signedVectors() {
  const made = (inputs: RunInputs, lies: SignedLies = {}) =>
    signedRun({ ...inputs, label: inputs.label === byClient(0).label ? LABEL : inputs.label }, SECRETS, lies);
  const run = (name: string, inputs: RunInputs) => {
    const { Z, U2, U3, ...transcribed } = made(inputs);
    const drawn: [Buffer[], Buffer[]] = [[SECRETS.secretI], [SECRETS.secretR]];
    const vector = runVector(name, 4, { ...inputs, label: LABEL }, transcribed, drawn);
    return { ...vector, Z: hex(Z), U_2: hex(U2), U_3: hex(U3) };
  };
  const inputs = byClient(0b10000);
  const right = made(inputs);
  const [F1, F2, F3] = right.frames as [Buffer, Buffer, Buffer];
  const first = refusal('client', 'responder', 1);
  const second = refusal('client', 'initiator', 2);
  const third = refusal('client', 'responder', 3);
  const asR = (why: string, R: ProofLies) => second(why, made(inputs, { R }).frames[1]);
  const asI = (why: string, I: ProofLies) => third(why, made(inputs, { I }).frames[2]);
  const other = (changes: Partial<RunInputs>) => made({ ...inputs, ...changes });
  const [identityI, identityR, identityM] = [SECRETS.seedI, SECRETS.seedR, MALLORY].map(identityOf) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  /** What a side that takes part in the key exchange can try, with keys of its own. */
  const lies = (identity: Buffer, otherU: Buffer): [string, ProofLies][] => [
    ['an identity that is not trusted, with a right proof (C10)', { signer: MALLORY }],
    ["the right identity, signed by somebody else's key (C10)", { signer: MALLORY, identity, mac: identity }],
    ["the right signature under somebody else's identity (C10)", { identity: identityM, mac: identityM }],
    ['a MAC over another identity (C10)', { mac: identityM }],
    ['a signature made as the other role', { label: 'keymux/1 signed ' }],
    ['a signature for another host', { authority: 'other.example' }],
    ['a signature over the transcript of another run', { transcript: random('another transcript') }],
    ['a signature over the transcript of the other message', { transcript: otherU }],
    ['a signature for another purpose (C16)', { namespace: 'file' }],
    ['a signature made with another hash', { hash: 'sha256' }],
    ['a signature that is not in SSHSIG format (C16)', { bare: true }],
    ['a signature of zeros', { signature: Buffer.alloc(64) }],
    ['an identity of small order with a signature that fits it (H14)', WEAK],
    ['a proof made with another shared secret', { z: random('another secret') }],
  ];
  const label =
    (role: string) =>
    (entry: [string, ProofLies]): [string, ProofLies] =>
      entry[1].label === undefined ? entry : [entry[0], { label: `${entry[1].label}${role}` }];
  return {
    about: [
      'Vectors for ALG 4, signed: spec 3.4, 3.5 and 3.13.',
      ...ABOUT,
      "identities: Ed25519 seeds. The run's initiator has that of `initiator`. On the client's side, the name shop.example:8443 is asked for, and the server's identity is known under it; on the server's side, that of the client is authorized.",
    ],
    label: LABEL,
    authorities: ['', 'shop.example:8443'],
    identities: {
      initiator: { seed: hex(SECRETS.seedI), publicKey: publicLine(identityI) },
      responder: { seed: hex(SECRETS.seedR), publicKey: publicLine(identityR) },
    },
    runs: [run('client', inputs), run('server', byServer(0b1111110))],
    refusals: [
      first('an offer without its own algorithm', other({ offer: 0b10 }).frames[0]),
      first('an empty label', other({ label: '' }).frames[0]),
      first('a label with a path in it', other({ label: '../id_ed25519' }).frames[0]),
      first('an authority in upper case', other({ authority: 'Shop.example' }).frames[0]),
      first('FIN', reframe(F1, { flags: FIN })),
      first('RETIRE', reframe(F1, { flags: FIN | RETIRE })),
      first('REJECT', reframe(F1, { flags: FIN | REJECT })),
      first('a key ID of the other side', reframe(F1, { keyId: 2 })),
      first('a byte too few', reframe(F1, { data: F1.subarray(12, -1) })),
      first('a byte too many', reframe(F1, { data: cat(F1.subarray(12), Buffer.of(0)) })),
      first('no data', reframe(F1, { data: Buffer.alloc(0) })),
      first('e_I = 0', made(inputs, { eI: little(0n) }).frames[0]),
      first('e_I = 1', made(inputs, { eI: little(1n) }).frames[0]),
      rejected(first('an ALG_ID that does not exist', reframe(F1, { algorithm: 200 })), 1),
      second('e_R = 0', cat(F2.subarray(0, 12), little(0n), F2.subarray(44))),
      second(
        "e_R equal to e_I, the initiator's own",
        made(inputs, { eR: publicOf(SECRETS.secretI) }).frames[1],
      ),
      ...lies(identityR, right.U3)
        .map(label('initiator'))
        .map(([why, R]) => asR(why, R)),
      asR("the initiator's own identity (C9)", { signer: SECRETS.seedI }),
      second('the answer of a run with another offer', other({ offer: 0b110000 }).frames[1]),
      second('the answer of a run for another host', other({ authority: 'shop.example:8443' }).frames[1]),
      second('the answer of a run at another depth', other({ depth: 1 }).frames[1]),
      second(
        'the answer of a run with another key ID',
        reframe(other({ keyId: 3 }).frames[1] ?? F2, { keyId: 1 }),
      ),
      second('a public value that was changed', flip(F2, 12)),
      second('a proof that was changed in its first bit', flip(F2, 44)),
      second('a tag that was changed', flip(F2, F2.length - 1)),
      second('its own message, reflected', F1),
      second('message 3', F3),
      second('no FIN', reframe(F2, { flags: 0 })),
      second('another ALG_ID', reframe(F2, { algorithm: 1 })),
      second('a byte too few', reframe(F2, { data: F2.subarray(12, -1) })),
      second('a byte too many', reframe(F2, { data: cat(F2.subarray(12), Buffer.of(0)) })),
      second('no proof', reframe(F2, { data: F2.subarray(12, 44) })),
      { ...second('the same message again', F2), repeat: true },
      ...lies(identityI, right.U2)
        .map(label('responder'))
        .map(([why, I]) => asI(why, I)),
      asI("the responder's own identity (C9)", { signer: SECRETS.seedR }),
      asI('a signature for another responder (C10)', { responder: identityM }),
      third('the answer to a run with another offer', other({ offer: 0b110000 }).frames[2]),
      third('the answer to a run at another depth', other({ depth: 1 }).frames[2]),
      third('a proof that was changed', flip(F3, 12)),
      third('a tag that was changed', flip(F3, F3.length - 1)),
      third("the responder's own proof, reflected", reframe(F2, { data: F2.subarray(44) })),
      third("the responder's own message, reflected", F2),
      third('message 1 again', F1),
      third('no FIN', reframe(F3, { flags: 0 })),
      third('a byte too few', reframe(F3, { data: F3.subarray(12, -1) })),
      third('a byte too many', reframe(F3, { data: cat(F3.subarray(12), Buffer.of(0)) })),
      third('no data: nobody stays anonymous', reframe(F3, { data: Buffer.alloc(0) })),
      third('a REJECT', reframe(F3, { flags: FIN | REJECT, data: Buffer.of(1, 0) })),
      { ...third('the same message again', F3), repeat: true },
    ],
  };
}
