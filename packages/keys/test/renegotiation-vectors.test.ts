import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Keyring, LocalKeeper, PreSharedKey } from '../src/index.ts';
import { passEnvelope, Side } from './link.ts';
import { hex, unhex } from './shared-vectors.ts';

type Name = 'client' | 'server';
interface RunVector {
  readonly initiator: Name;
  readonly generation: number;
  readonly random: { readonly initiator: string; readonly responder: string };
  readonly frames: string[];
  readonly exporter: string;
  readonly firstEnvelopes: Record<Name, { readonly plaintext: string; readonly frame: string }>;
}
interface Vectors {
  readonly clock: number;
  readonly keyFile: string;
  readonly label: string;
  readonly authorities: string[];
  readonly sessions: { readonly name: string; readonly algorithm: number; readonly runs: RunVector[] }[];
  readonly refusals: {
    readonly session: string;
    readonly to: Name;
    readonly made: number;
    readonly asks: boolean;
    readonly why: string;
    readonly frame: string;
    readonly expect: 'failure' | 'ignored';
  }[];
  readonly envelopes: { readonly why: string; readonly frame: string }[];
}

const PATH = fileURLToPath(new URL('../../../spec/vectors/renegotiation.json', import.meta.url));
const vectors = JSON.parse(readFileSync(PATH, 'utf8')) as Vectors;
const other = (side: Name): Name => (side === 'client' ? 'server' : 'client');

/** Both sides of a session of the vectors, whose keepers draw what the vectors say. */
function sidesOf(name: string) {
  const { algorithm, runs } = vectors.sessions.find(
    (session) => session.name === name,
  ) as Vectors['sessions'][0];
  const sides = Object.fromEntries(
    (['client', 'server'] as const).map((side) => {
      const keyring = new Keyring();
      keyring.add(new PreSharedKey(unhex(vectors.keyFile)), { authorities: vectors.authorities });
      const draws = runs.map((run) => unhex(run.random[run.initiator === side ? 'initiator' : 'responder']));
      const keeper = new LocalKeeper({
        keyring,
        anonymous: [''],
        clock: () => vectors.clock,
        random: () => draws.shift() ?? new Uint8Array(32),
      });
      return [side, new Side(side, keeper)];
    }),
  ) as Record<Name, Side>;
  const label = algorithm === 5 ? 'anonymous' : vectors.label;
  const ask = async ({ initiator, generation }: RunVector): Promise<void> => {
    const { registry } = sides[initiator];
    if (generation === 0) registry.negotiate({ algorithm, label, authority: '', now: 0 });
    else registry.renegotiate(1, 0);
    await sides[initiator].settle();
  };
  const finish = async (run: RunVector): Promise<void> => {
    for (const [index, frame] of run.frames.entries()) {
      const from = index % 2 === 0 ? run.initiator : other(run.initiator);
      expect(hex(sides[from].outbox.splice(0)[0] as Uint8Array), `F_${index + 1}`).toBe(frame);
      await sides[other(from)].play([unhex(frame)]);
    }
  };
  return { sides, runs, ask, finish };
}

/** Both sides seal their first envelope, as the vectors have it, and leave the generation before. */
function move(sides: Record<Name, Side>, run: RunVector): void {
  for (const from of [run.initiator, other(run.initiator)]) {
    const { frame, plaintext } = run.firstEnvelopes[from];
    const text = Buffer.from(plaintext, 'hex').toString();
    const seen = passEnvelope(sides[from], sides[other(from)], 1, text, (bytes) =>
      expect(hex(bytes)).toBe(frame),
    );
    expect(seen).toBe(text);
    sides[other(from)].registry.confirmGeneration(1, run.generation);
  }
}

describe('renegotiation.json', () => {
  it('has more refusals than successes', () => {
    const successes = vectors.sessions.flatMap(({ runs }) => runs).length;
    expect(vectors.refusals.length + vectors.envelopes.length).toBeGreaterThan(5 * successes);
  });

  it.each(vectors.sessions)('a session of $name', async ({ name }) => {
    const { sides, runs, ask, finish } = sidesOf(name);
    for (const run of runs) {
      await ask(run);
      await finish(run);
      move(sides, run);
      for (const side of Object.values(sides)) {
        expect(side.registry.exporter(1)?.use(hex)).toBe(run.exporter);
        expect(side.registry.info(1)?.generation).toBe(run.generation);
      }
    }
  });

  it.each(vectors.refusals)('to the $to after $made runs: $why', async (vector) => {
    const { sides, runs, ask, finish } = sidesOf(vector.session);
    for (const run of runs.slice(0, vector.made)) {
      await ask(run);
      await finish(run);
      move(sides, run);
    }
    if (vector.asks) await ask(runs[vector.made] as RunVector);
    const victim = sides[vector.to];
    const established = victim.established.length;
    await victim.play([unhex(vector.frame)]);
    expect(victim.established).toHaveLength(established);
    if (vector.expect === 'ignored') expect(victim.failure).toBeUndefined();
    else expect(victim.failure).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session' });
  });

  it.each(vectors.envelopes)('the first envelope, $why', async ({ frame }) => {
    const { sides, runs, ask, finish } = sidesOf('psk-x25519');
    const [key, next] = runs as [RunVector, RunVector];
    await ask(key);
    await finish(key);
    move(sides, key);
    await ask(next);
    await finish(next);
    const bytes = unhex(frame);
    const receiver = sides[other(next.initiator)].registry.receiver(1, 1);
    expect(() => receiver?.open(bytes.subarray(0, 10), bytes.subarray(10))).toThrow(
      expect.objectContaining({ reason: 'envelope' }),
    );
    expect(sides[other(next.initiator)].registry.info(1)?.generation).toBe(0);
  });
});
