import {
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
} from './key-vector-parts.ts';
import {
  cat,
  chained,
  envelope,
  generationKeys,
  H,
  longTermKeys,
  type RunInputs,
  type Transcribed,
  text,
} from './reference-keys.ts';
import { anonymousRun, pskX25519Run } from './reference-x25519.ts';

const RENEGOTIATE = 8;
const ZERO = Buffer.alloc(32);

/** The algorithms of the vectors, and how the reference runs them. */
const RUNS = { 3: pskX25519Run, 5: anonymousRun } as const;

type Side = 'client' | 'server';

interface Made extends Transcribed {
  readonly initiator: Side;
  readonly generation: number;
  readonly random: { readonly initiator: Buffer; readonly responder: Buffer };
  /** S of the generation. */
  readonly S: Buffer;
  readonly DI: Buffer;
  readonly DR: Buffer;
}

/** A session in which nothing is sent outside envelopes but the messages of its runs. */
function session(algorithm: 3 | 5, initiators: readonly Side[]): Made[] {
  const sent: Record<Side, Buffer> = { client: Buffer.alloc(0), server: Buffer.alloc(0) };
  const made: Made[] = [];
  for (const [generation, initiator] of initiators.entries()) {
    const responder = initiator === 'client' ? 'server' : 'client';
    const draws = {
      initiator: random(`session ${algorithm}, run ${generation}: initiator`),
      responder: random(`session ${algorithm}, run ${generation}: responder`),
    };
    const run = RUNS[algorithm](inputsOf(algorithm, initiator, generation), draws.initiator, draws.responder);
    const digests = { DI: H(sent[initiator]), DR: H(sent[responder]) };
    const before = made.at(-1);
    const S = before
      ? chained(before.S, before.DI, before.DR, run.secrets[0] as Buffer)
      : (run.secrets[0] as Buffer);
    for (const [index, frame] of run.frames.entries()) {
      const side = index % 2 === 0 ? initiator : responder;
      sent[side] = cat(sent[side], frame);
    }
    made.push({ ...run, initiator, generation, random: draws, S, ...digests });
  }
  return made;
}

function inputsOf(algorithm: 3 | 5, initiator: Side, generation: number): RunInputs {
  const label = algorithm === 5 ? 'anonymous' : longTermKeys(KEY_FILE).label;
  const offer = 2 ** algorithm;
  return { keyFile: KEY_FILE, label, authority: '', offer, depth: 0, initiator, keyId: 1, generation };
}

function sessionVector(name: string, algorithm: 3 | 5, runs: readonly Made[]) {
  return {
    name,
    algorithm,
    runs: runs.map(({ initiator, generation, random: draws, frames, transcripts, secrets, S, DI, DR }) => {
      const keys = generationKeys(S, generation, DI, DR);
      const shown = ({ key, iv }: { key: Buffer; iv: Buffer }) => ({ key: hex(key), iv: hex(iv) });
      const first = (side: Side) => {
        const direction = side === 'client' ? 1 : 2;
        const sealed = envelope(keys[side], direction, 1, generation, 0n, text(`${side}, ${generation}`));
        return { plaintext: hex(sealed.plaintext), frame: hex(cat(sealed.head, sealed.body)) };
      };
      return {
        initiator,
        generation,
        random: { initiator: hex(draws.initiator), responder: hex(draws.responder) },
        frames: frames.map(hex),
        transcripts: transcripts.map(hex),
        digests: { initiator: hex(DI), responder: hex(DR) },
        runSecret: hex(secrets[0] as Buffer),
        S: hex(S),
        client: shown(keys.client),
        server: shown(keys.server),
        exporter: hex(keys.exporter),
        firstEnvelopes: { client: first('client'), server: first('server') },
      };
    }),
  };
}

export function renegotiationVectors() {
  const shared = session(3, ['client', 'server', 'client']);
  const anonymous = session(5, ['client', 'server']);
  const [key, second, third] = shared as [Made, Made, Made];
  const [F1, F2] = second.frames as [Buffer, Buffer];
  const [G1] = third.frames as [Buffer, Buffer];
  const remade = (changes: Partial<RunInputs>, of = second) =>
    pskX25519Run(
      { ...inputsOf(3, of.initiator, of.generation), ...changes },
      of.random.initiator,
      of.random.responder,
    );
  // What comes to `to` when so many runs are over; it has asked itself if `asks` is set.
  const at =
    (to: Side, made: number, asks = false) =>
    (why: string, frame: Buffer | undefined, expect = 'failure') => ({
      session: 'psk-x25519',
      to,
      made,
      asks,
      why,
      frame: hex(frame ?? Buffer.alloc(0)),
      expect,
    });
  const first = at('client', 1);
  const answer = at('server', 1, true);
  const alone = pskX25519Run(
    { ...inputsOf(3, 'server', 0), generation: 0 },
    second.random.initiator,
    second.random.responder,
  );
  const unchained = generationKeys(second.secrets[0] as Buffer, 1, second.DI, second.DR);
  const otherDigests = generationKeys(
    chained(key.S, ZERO, ZERO, second.secrets[0] as Buffer),
    1,
    second.DI,
    second.DR,
  );
  const spliced = generationKeys(
    chained(random('S of another session'), key.DI, key.DR, second.secrets[0] as Buffer),
    1,
    second.DI,
    second.DR,
  );
  const sealedBy = ({ server }: ReturnType<typeof generationKeys>, generation = 1) => {
    const { head, body } = envelope(server, 2, 1, generation, 0n, text('a first frame'));
    return cat(head, body);
  };
  return {
    about: [
      'Vectors for renegotiation: spec 3.14. Bytes are in hexadecimal, numbers in decimal.',
      'sessions: on each, only the messages of the runs travel outside envelopes, so that the session digests are those of their frames. All runs are of key 1; the first makes it. After each run both sides move: firstEnvelopes has the first envelope of each side under the new generation; the side that began the run seals first.',
      'random: what each side draws. runSecret: what the run itself makes; S: chained to the generation before.',
      'refusals: the side `to` is in its session after `made` runs, and both sides have moved; if `asks` is set, it has begun the next run, as in the session. Then `frame` comes.',
      'expect failure: session error KEY_FAILURE; `why` is for people. expect reject: a REJECT with `reason`, and the key lives on. expect ignored: nothing happens. In no refusal is a generation established. envelopes: the same for the first envelope of the side that began the run, after its messages.',
    ],
    clock: CLOCK,
    ...keyPart(),
    sessions: [sessionVector('psk-x25519', 3, shared), sessionVector('anonymous', 5, anonymous)],
    refusals: [
      first('no flag RENEGOTIATE', reframe(F1, { flags: FIN })),
      first('RENEGOTIATE without FIN', reframe(F1, { flags: RENEGOTIATE })),
      first('RENEGOTIATE and REJECT', reframe(F1, { flags: FIN | RENEGOTIATE | REJECT })),
      first('RENEGOTIATE and RETIRE', reframe(F1, { flags: FIN | RENEGOTIATE | RETIRE })),
      first('an ID that names no key', reframe(F1, { keyId: 3 })),
      first('an ID of the other side that names no key', reframe(F1, { keyId: 2 })),
      first('another algorithm than the key has', reframe(F1, { algorithm: 5 })),
      first('an algorithm that does not exist', reframe(F1, { algorithm: 99 })),
      first(
        'the transcript of generation 0',
        reframe(alone.frames[0] as Buffer, { flags: FIN | RENEGOTIATE }),
      ),
      first('the transcript of generation 2', remade({ generation: 2 }).frames[0]),
      first('the transcript of the other side as initiator', remade({ initiator: 'client' }).frames[0]),
      first('the transcript of another depth', remade({ depth: 1 }).frames[0]),
      first(
        'the transcript of another key ID',
        reframe(remade({ keyId: 3 }).frames[0] as Buffer, { keyId: 1 }),
      ),
      first('another long-term key', remade({ keyFile: random('another key file') }).frames[0]),
      first('another authority than the key has', remade({ authority: 'shop.example:8443' }).frames[0]),
      first('an unknown label', remade({ label: 'k-0000000000000000' }).frames[0]),
      first('an offer without its own algorithm', remade({ offer: 2 }).frames[0]),
      first('a byte too many', reframe(F1, { data: cat(F1.subarray(12), Buffer.of(0)) })),
      first('a byte too few', reframe(F1, { data: F1.subarray(12, -1) })),
      first('no data', reframe(F1, { data: Buffer.alloc(0) })),
      first('a proof that was changed', flip(F1, F1.length - 1)),
      first('the first message of the run that made the key', key.frames[0]),
      first('the same with RENEGOTIATE', reframe(key.frames[0] as Buffer, { flags: FIN | RENEGOTIATE })),
      first('the answer of the run that made the key', key.frames[1]),
      at('client', 2)('the first message of the renegotiation before, again', F1),
      at('client', 2)('the answer of the renegotiation before, which was its own', F2),
      at('server', 3)('the first message of two runs ago', key.frames[0]),
      at('server', 2)(
        'a first message for the generation after the next',
        remade({ generation: 3 }, third).frames[0],
      ),
      answer(
        'an answer with RENEGOTIATE that is no first message',
        reframe(F2, { flags: FIN | RENEGOTIATE }),
      ),
      answer('an answer without FIN', reframe(F2, { flags: 0 })),
      answer('an answer of another algorithm', reframe(F2, { algorithm: 5 })),
      answer('an answer that was changed', flip(F2, F2.length - 1)),
      answer('an answer with a byte too many', reframe(F2, { data: cat(F2.subarray(12), Buffer.of(0)) })),
      answer('the answer of the run that made the key', key.frames[1]),
      answer('its own first message', F1),
      {
        ...at(
          'client',
          2,
          true,
        )(
          'both at once: the owner of the ID ignores it',
          remade({}, { ...third, initiator: 'server' }).frames[0],
        ),
        expect: 'ignored',
      },
      { ...at('client', 2, true)('a first message of its own that comes back', G1) },
    ],
    envelopes: [
      { why: 'sealed under the run alone, without the chain', frame: hex(sealedBy(unchained)) },
      {
        why: 'chained without the session digests of the generation before',
        frame: hex(sealedBy(otherDigests)),
      },
      { why: 'chained to the generation of another session', frame: hex(sealedBy(spliced)) },
      {
        why: 'sealed under the keys of the generation before, as the new one',
        frame: hex(sealedBy(generationKeys(key.S, 0, key.DI, key.DR), 1)),
      },
      {
        why: 'sealed with the session digests of the generation before',
        frame: hex(sealedBy(generationKeys(second.S, 1, key.DI, key.DR))),
      },
      {
        why: 'sealed under keys of another generation number',
        frame: hex(sealedBy(generationKeys(second.S, 2, second.DI, second.DR), 1)),
      },
    ],
  };
}
