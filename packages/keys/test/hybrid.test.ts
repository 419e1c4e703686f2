import { afterEach, describe, expect, it, vi } from 'vitest';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '../src/index.ts';
import { encodeNego } from '../src/nego-frame.ts';
import { FILE, infoOf, keeperOf, LABEL, Link, link, passEnvelope, Side } from './link.ts';
import { seeded } from './random.ts';

const HYBRID = { algorithm: ALGORITHM.HYBRID, label: LABEL, authority: '' };

/** Counts what ML-KEM is asked to do. */
const asked = vi.hoisted(() => ({ times: 0 }));
vi.mock('../src/crypto/ml-kem.ts', async (original) => {
  const real = await original<typeof import('../src/crypto/ml-kem.ts')>();
  const loadMlKem: typeof real.loadMlKem = async (random) => {
    const kem = await real.loadMlKem(random);
    return {
      generate: () => {
        asked.times++;
        return kem.generate();
      },
      encapsulate: (publicValue) => {
        asked.times++;
        return kem.encapsulate(publicValue);
      },
    };
  };
  return { ...real, loadMlKem };
});

afterEach(() => {
  asked.times = 0;
});

describe('hybrid', () => {
  it('costs the responder no ML-KEM before the initiator has proven that it holds the key', async () => {
    const wire = link();
    wire.client.registry.negotiate(HYBRID);
    await wire.client.settle();
    const first = wire.client.outbox[0] as Uint8Array;
    expect(asked.times).toBe(1);

    const stranger = new Keyring();
    stranger.add(new PreSharedKey(seeded('another')(32)), { label: LABEL, authorities: [''] });
    for (const keyring of [stranger, new Keyring()]) {
      const server = new Side('server', keeperOf('server', { keyring }));
      await server.play([first]);
      expect(server.failure?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
    }
    expect(asked.times).toBe(1);

    await new Side('server', keeperOf('server')).play([first]);
    expect(asked.times).toBe(2);
  });

  it('works with whatever ML-KEM this Node has, and fresh randomness', async () => {
    const keeper = () => {
      const keyring = new Keyring();
      keyring.add(new PreSharedKey(FILE), { authorities: [''] });
      return new LocalKeeper({ keyring });
    };
    const runs: Uint8Array[][] = [];
    for (let run = 0; run < 2; run++) {
      const wire = new Link(new Side('client', keeper()), new Side('server', keeper()));
      wire.client.registry.negotiate(HYBRID);
      await wire.run();
      expect(passEnvelope(wire.client, wire.server, 1, 'hello')).toBe('hello');
      expect(passEnvelope(wire.server, wire.client, 1, 'and back')).toBe('and back');
      expect(infoOf(wire.server, 1)).toMatchObject({ level: 'authenticated', peer: `psk:${LABEL}` });
      runs.push([...wire.frames]);
    }
    const [first, second] = runs as [Uint8Array[], Uint8Array[]];
    for (const [index, frame] of first.entries()) {
      const head = 12 + (index === 0 ? 24 : 0);
      for (const [start, end] of [
        [head, head + 32],
        [head + 32, -32],
      ]) {
        const part = Buffer.from(frame.subarray(start, end)).toString('hex');
        expect(part).not.toBe(Buffer.from(second[index]?.subarray(start, end) ?? '').toString('hex'));
      }
    }
  });
});

describe('H10: who gets the key file after a run', () => {
  for (const { name, algorithm, opens } of [
    { name: 'psk', algorithm: ALGORITHM.PSK, opens: true },
    { name: 'psk-x25519', algorithm: ALGORITHM.PSK_X25519, opens: false },
    { name: 'hybrid', algorithm: ALGORITHM.HYBRID, opens: false },
  ]) {
    it(`${opens ? 'reads' : 'cannot read'} what was recorded of ${name}`, async () => {
      const wire = link();
      wire.client.registry.negotiate({ algorithm, label: LABEL, authority: '' });
      await wire.run();
      const key = wire.client.registry.sender(1);
      const head = new Uint8Array(10);
      const sealed = Buffer.concat(key?.seal(head, [Buffer.from('a secret')]) ?? []);
      const [first, answer] = wire.frames as [Uint8Array, Uint8Array];

      // The thief takes the responder's place, with the recorded F_1 and its nonce where that is all that F_2 adds.
      const nonce = answer.subarray(12, 44);
      const thief = new Side('server', keeperOf('thief', { random: (length) => nonce.slice(0, length) }));
      await thief.play([first]);
      const open = () =>
        Buffer.from(thief.registry.receiver(1, key?.generation ?? 0)?.open(head, sealed) ?? []).toString();
      if (opens) expect(open()).toBe('a secret');
      else expect(open).toThrow(expect.objectContaining({ reason: 'envelope' }));

      // And the initiator's, with the recorded F_2.
      const liar = new Side('client', keeperOf('liar'));
      liar.registry.negotiate({ algorithm, label: LABEL, authority: '' });
      await liar.play([answer]);
      expect(liar.established).toEqual([]);
    });
  }
});

it('a frame of another algorithm with the same data is refused', async () => {
  const wire = link();
  wire.client.registry.negotiate(HYBRID);
  await wire.client.settle();
  const [first] = wire.client.outbox as [Uint8Array];
  for (const algorithm of [ALGORITHM.PSK, ALGORITHM.PSK_X25519, ALGORITHM.SPIPED]) {
    const data = first.subarray(12);
    const server = new Side('server', keeperOf('server'));
    await server.play([encodeNego({ keyId: 1, algorithm, fin: true, reject: false, retire: false, data })]);
    expect(server.failure?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
  }
});
