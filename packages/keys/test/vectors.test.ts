import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { keyVectors } from '../../../test/support/make-key-vectors.ts';
import { aeadKey } from '../src/crypto.ts';
import { AuthorizedKeys } from '../src/identity/authorized-keys.ts';
import { KnownHosts } from '../src/identity/known-hosts.ts';
import { LocalSigner } from '../src/identity/local-signer.ts';
import {
  ANONYMOUS_LABEL,
  Identities,
  type KeyInfo,
  Keyring,
  LocalKeeper,
  PreSharedKey,
  type RunContext,
  Secret,
  SIGNED_LABEL,
  type Step,
  type Trust,
} from '../src/index.ts';
import { encodeNego } from '../src/nego-frame.ts';
import { Opener } from '../src/opener.ts';
import { directionKeys, exporterSecret, switchKey } from '../src/schedule.ts';
import { Sealer } from '../src/sealer.ts';
import { extendTranscript, startTranscript } from '../src/transcript.ts';
import { Side } from './link.ts';
import { hex, unhex } from './shared-vectors.ts';

const FOLDER = fileURLToPath(new URL('../../../spec/vectors', import.meta.url));

interface DirectionVector {
  readonly key: string;
  readonly iv: string;
}
interface RunVector {
  readonly name: string;
  readonly algorithm: number;
  readonly initiator: 'client' | 'server';
  readonly depth: number;
  readonly keyId: number;
  readonly label: string;
  readonly authority: string;
  readonly offer: number;
  readonly clock: number;
  readonly random: { readonly initiator: string[]; readonly responder: string[] };
  readonly frames: string[];
  readonly transcripts: string[];
  readonly digests: { readonly initiator: string; readonly responder: string };
  readonly secrets: {
    readonly generation: number;
    readonly early: boolean;
    readonly S: string;
    readonly client?: DirectionVector;
    readonly server?: DirectionVector;
    readonly exporter?: string;
    readonly switchKey: string;
    readonly firstEnvelope: { readonly plaintext: string; readonly frame: string };
  }[];
}
interface RefusalVector {
  readonly run: string;
  readonly to: 'initiator' | 'responder';
  readonly message: number;
  readonly why: string;
  readonly frame: string;
  readonly repeat?: true;
  readonly clock?: number;
  readonly expect: 'failure' | 'reject';
  readonly reason?: number;
}
interface IdentityVector {
  readonly seed: string;
  readonly publicKey: string;
}
interface NegotiationVectors {
  /** Absent where no long-term key is used. */
  readonly keyFile?: string;
  /** Present where identities are proved. */
  readonly identities?: { readonly initiator: IdentityVector; readonly responder: IdentityVector };
  readonly label: string;
  readonly authorities: string[];
  readonly runs: RunVector[];
  readonly refusals: RefusalVector[];
}
interface SealingVectors extends DirectionVector {
  readonly direction: number;
  readonly keyId: number;
  readonly generation: number;
  readonly envelopes: { readonly head: string; readonly plaintext: string; readonly body: string }[];
  readonly refusals: {
    readonly opened: number;
    readonly why: string;
    readonly head: string;
    readonly body: string;
  }[];
}

interface SwitchKeyVector {
  readonly keyId: number;
  readonly generation: number;
  readonly S: string;
  readonly digests: { readonly initiator: string; readonly responder: string };
  readonly switchKey: string;
}

const made = keyVectors();
if (process.env.KEYMUX_WRITE_VECTORS) {
  for (const [name, content] of Object.entries(made)) {
    writeFileSync(`${FOLDER}/${name}`, `${JSON.stringify(content, null, 1)}\n`);
  }
}

describe('the vector files', () => {
  it.each(Object.keys(made))('%s is what the reference makes', (name) => {
    expect(load(name)).toEqual(JSON.parse(JSON.stringify(made[name])));
  });
});

for (const name of Object.keys(made).filter((file) => file.startsWith('negotiation-'))) {
  const vectors = load<NegotiationVectors>(name);

  describe(name, () => {
    it('has more refusals than successes', () => {
      expect(vectors.refusals.length).toBeGreaterThan(10 * vectors.runs.length);
      const unkeyed = vectors.identities ? SIGNED_LABEL : ANONYMOUS_LABEL;
      const label = vectors.keyFile ? new PreSharedKey(unhex(vectors.keyFile)).label : unkeyed;
      expect(vectors.label).toBe(label);
    });

    it.each(vectors.runs)('run by the $initiator', async (run) => {
      const initiator = keeperFor(vectors, run, 'initiator');
      const responder = keeperFor(vectors, run, 'responder');
      const { label, authority, offer } = run;
      const frames = run.frames.map(unhex);
      const steps: Step[] = [await initiator.start(contextOf(run, 'initiator'), { label, authority, offer })];
      for (let index = 0; index < frames.length; index++) {
        const from = index % 2 === 0 ? initiator : responder;
        const to = from === initiator ? responder : initiator;
        const mine = steps[index] as Step;
        expect(encodeStep(run, mine), `F_${index + 1}`).toBe(run.frames[index]);
        const frame = frames[index] as Uint8Array;
        const earlier = steps[index - 1];
        steps.push(
          index === 0
            ? await to.accept(contextOf(run, 'responder'), frame)
            : await to.receive(earlier?.run ?? 0, frame),
        );
      }
      let transcript = startTranscript(contextOf(run, 'initiator'));
      expect(hex(transcript)).toBe(run.transcripts[0]);
      for (const [index, frame] of frames.entries()) {
        transcript = extendTranscript(transcript, frame);
        expect(hex(transcript)).toBe(run.transcripts[index + 1]);
      }
      for (const side of [0, 1]) {
        const made = steps.filter((_, index) => index % 2 === side).flatMap((step) => step.secrets);
        expect(made.map(({ generation }) => generation)).toEqual(
          run.secrets.map(({ generation }) => generation),
        );
        for (const [index, secret] of made.entries()) {
          const vector = run.secrets[index] as RunVector['secrets'][0];
          expect(secret.secret.use(hex)).toBe(vector.S);
          expect(secret.early).toBe(vector.early);
          const digests = {
            initiator: unhex(run.digests.initiator),
            responder: vector.early ? new Uint8Array(32) : unhex(run.digests.responder),
          };
          for (const sender of ['client', 'server'] as const) {
            const { key, iv } = directionKeys(secret.secret, vector.generation, sender, digests);
            const shown = { key: key.export().toString('hex'), iv: hex(iv) };
            if (vector[sender]) expect(shown).toEqual(vector[sender]);
            if (sender !== run.initiator) continue;
            const keys = { key, iv, direction: sender === 'client' ? 1 : 2 };
            const frame = unhex(vector.firstEnvelope.frame);
            const opened = new Opener(INFO, keys).open(frame.subarray(0, 10), frame.subarray(10));
            expect(hex(opened)).toBe(vector.firstEnvelope.plaintext);
          }
          expect(switchKey(secret.secret, digests).use(hex)).toBe(vector.switchKey);
          if (vector.exporter) expect(exporterSecret(secret.secret, digests).use(hex)).toBe(vector.exporter);
        }
      }
    });

    it.each(vectors.refusals)('message $message to the $to: $why', async (vector) => {
      const run = vectors.runs.find((candidate) => candidate.name === vector.run) as RunVector;
      const side = new Side(
        (vector.to === 'initiator') === (run.initiator === 'client') ? 'client' : 'server',
        keeperFor(vectors, { ...run, clock: vector.clock ?? run.clock }, vector.to),
        { depth: run.depth, peerName: PEER },
      );
      if (vector.to === 'initiator') {
        const { algorithm, label, authority, offer } = run;
        expect(side.registry.negotiate({ algorithm, label, authority, offer })).toBe(run.keyId);
      }
      const before = run.frames
        .slice(0, vector.repeat ? undefined : vector.message - 1)
        .filter((_, index) => (index % 2 === 0) === (vector.to === 'responder'))
        .map(unhex);
      await side.play(before);
      expect(side.failure).toBeUndefined();
      const established = side.established.length;
      await side.play([unhex(vector.frame)]);
      expect(side.established).toHaveLength(established);
      expect(established).toBe(vector.repeat ? 1 : 0);
      if (vector.expect === 'failure') {
        expect(side.failure?.scope).toBe('session');
        expect(side.failure?.code).toMatch(/^ERR_KEYMUX_(KEY_FAILURE|HOST_KEY)$/);
      } else {
        expect(side.failure).toBeUndefined();
        expect(side.outbox.at(-1)?.subarray(4, 5)).toEqual(Uint8Array.of(3));
        expect(side.outbox.at(-1)?.[12]).toBe(vector.reason);
      }
    });
  });
}

describe('sealing.json', () => {
  const vectors = load<SealingVectors>('sealing.json');
  const keys = () => ({
    key: aeadKey(unhex(vectors.key)),
    iv: unhex(vectors.iv),
    direction: vectors.direction,
  });

  it('seals and opens every envelope', () => {
    const [sealer, opener] = [new Sealer(INFO, keys()), new Opener(INFO, keys())];
    for (const { head, plaintext, body } of vectors.envelopes) {
      expect(hex(Buffer.concat(sealer.seal(unhex(head), [unhex(plaintext)])))).toBe(body);
      expect(hex(opener.open(unhex(head), unhex(body)))).toBe(plaintext);
    }
    expect(vectors.refusals.length).toBeGreaterThan(3 * vectors.envelopes.length);
  });

  it.each(vectors.refusals)('$why', ({ opened, head, body }) => {
    const opener = new Opener(INFO, keys());
    for (const envelope of vectors.envelopes.slice(0, opened))
      opener.open(unhex(envelope.head), unhex(envelope.body));
    const failure = expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    expect(() => opener.open(unhex(head), unhex(body))).toThrow(failure);
    const next = vectors.envelopes[opened];
    expect(() => opener.open(unhex(next?.head ?? ''), unhex(next?.body ?? ''))).toThrow(failure);
  });
});

describe('switch.json', () => {
  const { keys } = load<{ keys: SwitchKeyVector[] }>('switch.json');

  it.each(keys)('switch key of key $keyId, generation $generation', ({ S, digests, ...key }) => {
    const { initiator, responder } = digests;
    const made = switchKey(Secret.take(unhex(S)), {
      initiator: unhex(initiator),
      responder: unhex(responder),
    });
    expect(made.use(hex)).toBe(key.switchKey);
  });
});

const PEER = { host: 'shop.example', port: 8443 };

const INFO: KeyInfo = {
  keyId: 1,
  generation: 0,
  level: 'authenticated',
  early: false,
  algorithm: 1,
  label: 'x',
  authority: '',
  peer: 'psk:x',
  forwardSecrecy: false,
};

function load<T>(name: string): T {
  return JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) as T;
}

function keeperFor(
  vectors: NegotiationVectors,
  run: RunVector,
  role: 'initiator' | 'responder',
): LocalKeeper {
  const keyring = new Keyring();
  const { authorities, keyFile, identities } = vectors;
  if (keyFile) keyring.add(new PreSharedKey(unhex(keyFile)), { authorities });
  const values = run.random[role].map(unhex);
  return new LocalKeeper({
    keyring,
    anonymous: keyFile || identities ? [] : authorities,
    identities: identities && identitiesFor(vectors, run, role),
    clock: () => run.clock,
    random: () => values.shift() ?? new Uint8Array(32),
  });
}

/** On the client's side the server is known under its name, on the server's side the client may come in. */
function identitiesFor(
  vectors: NegotiationVectors,
  run: RunVector,
  role: 'initiator' | 'responder',
): Identities {
  const { initiator, responder } = vectors.identities as Record<'initiator' | 'responder', IdentityVector>;
  const [client, server] = run.initiator === 'client' ? [initiator, responder] : [responder, initiator];
  const signer = new LocalSigner(unhex((role === 'initiator' ? initiator : responder).seed), '');
  const trust: Trust = {
    authorizedKeys: { name: 'ak', load: async () => new AuthorizedKeys(client.publicKey) },
    knownHosts: { name: 'kh', load: async () => new KnownHosts(`[shop.example]:8443 ${server.publicKey}`) },
  };
  const identities = new Identities();
  for (const authority of vectors.authorities) identities.add(signer, { authorities: [authority], trust });
  return identities;
}

function contextOf({ initiator, depth, keyId, algorithm }: RunVector, role: RunContext['role']): RunContext {
  const isClient = (role === 'initiator') === (initiator === 'client');
  return { role, initiator, depth, keyId, generation: 0, algorithm, ...(isClient ? { peerName: PEER } : {}) };
}

function encodeStep({ keyId, algorithm }: RunVector, { send }: Step): string {
  if (send === undefined) return '';
  return hex(
    encodeNego({
      keyId,
      algorithm,
      fin: send.fin,
      reject: send.reject ?? false,
      retire: false,
      data: send.data,
    }),
  );
}
