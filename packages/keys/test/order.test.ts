import { afterEach, describe, expect, it, vi } from 'vitest';
import { ALGORITHM } from '../src/index.ts';
import { decodeNego, encodeNego } from '../src/nego-frame.ts';
import { keeperOf, Link, link, passEnvelope, Side } from './link.ts';
import { METHODS } from './methods.ts';

/** Records every envelope that is sealed, so that a repeated (key, nonce) pair shows. Noise messages of equal keepers are equal. */
const used = vi.hoisted(() => ({ pairs: [] as string[] }));
vi.mock('../src/crypto/aead.ts', async (original) => {
  const real = await original<typeof import('../src/crypto/aead.ts')>();
  const record: typeof real.sealAes256Gcm = (key, nonce, additional, parts) => {
    if (Buffer.from(additional).toString('latin1').startsWith('keymux/1 sealed')) {
      used.pairs.push(`${key.export().toString('hex')} ${Buffer.from(nonce).toString('hex')}`);
    }
    return real.sealAes256Gcm(key, nonce, additional, parts);
  };
  return { ...real, sealAes256Gcm: record };
});

afterEach(() => {
  expect(new Set(used.pairs).size).toBe(used.pairs.length);
  used.pairs.length = 0;
});

for (const { name, algorithm, messages, label } of METHODS) {
  for (const initiator of ['client', 'server'] as const) {
    const responder = initiator === 'client' ? 'server' : 'client';

    /** The frames of an honest run. The same keepers answer the same frames in the same way, so they fit into a new run. */
    const honest = async (): Promise<readonly Uint8Array[]> => {
      const wire = link();
      wire[initiator].registry.negotiate({ algorithm, label, authority: '' });
      await wire.run();
      expect(wire.frames).toHaveLength(messages);
      return wire.frames;
    };

    describe(`${name}, begun by the ${initiator}`, () => {
      it('C8: of all sequences of its messages only the right one brings the responder to established', async () => {
        const frames = await honest();
        for (const sequence of sequences(frames, messages === 2 ? 3 : 4)) {
          const side = new Side(responder, keeperOf(responder));
          await side.play(sequence.map((index) => frames[index] as Uint8Array));
          const right = messages === 2 ? sequence[0] === 0 : sequence[0] === 0 && sequence[1] === 2;
          expect(side.established.length > 0, `${sequence}`).toBe(right);
          if (sequence.length > messages / 2 || (!right && sequence.length > 0)) {
            expect(stillWaits(side, sequence) || side.failure !== undefined, `${sequence}`).toBe(true);
          }
        }
      });

      it('C8: of all sequences of its messages only the right one brings the initiator to established', async () => {
        const frames = await honest();
        for (const sequence of sequences(frames, messages === 2 ? 3 : 4)) {
          const side = new Side(initiator, keeperOf(initiator));
          side.registry.negotiate({ algorithm, label, authority: '' });
          await side.play(sequence.map((index) => frames[index] as Uint8Array));
          const right = messages < 4 ? sequence[0] === 1 : sequence[0] === 1 && sequence[1] === 3;
          expect(side.established.length > 0, `${sequence}`).toBe(right);
        }
      });

      it('C8: messages of the other side, or of a run that the other side began, are refused', async () => {
        const frames = await honest();
        const other = new Side(initiator, keeperOf('third'));
        await other.play(frames); // the parity of the key ID says that it is its own run, which it never began
        expect(other.failure?.reason).toBe('key-id');
        const renumbered = frames.map((frame) =>
          encodeNego({ ...decodeNego(frame), keyId: initiator === 'client' ? 2 : 1 }),
        );
        const swapped = new Side(initiator, keeperOf(responder));
        await swapped.play(renumbered);
        // A first message that proves nothing is as good as a new one.
        if (algorithm !== ALGORITHM.ANONYMOUS) expect(swapped.failure).toBeDefined();
        expect(swapped.established.filter((event) => event.send)).toEqual([]);
      });

      for (let index = 0; index < messages; index++) {
        it(`C3: message ${index + 1}, when it comes twice, ends the session and repeats no nonce`, async () => {
          const wire = link();
          const receiver = index % 2 === 0 ? wire[responder] : wire[initiator];
          wire.tamper = (frame, at) => (at === index ? [frame, frame] : [frame]);
          const { registry } = receiver;
          const receive = receiver.receive.bind(receiver);
          const waiting: Uint8Array[] = [];
          receiver.receive = (bytes) => {
            if (registry.busy(bytes[8] ?? 0)) waiting.push(bytes);
            else receive(bytes);
          };
          wire[initiator].registry.negotiate({ algorithm, label, authority: '' });
          await wire.run();
          for (const bytes of waiting) receive(bytes);
          await wire.run();
          expect(receiver.failure?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
          sealEverywhere(wire);
        });

        it(`C3: message ${index + 1}, when it comes again after the run, ends the session`, async () => {
          const wire = link();
          wire[initiator].registry.negotiate({ algorithm, label, authority: '' });
          await wire.run();
          sealEverywhere(wire);
          const receiver = index % 2 === 0 ? wire[responder] : wire[initiator];
          const keyId = initiator === 'client' ? 1 : 2;
          const before = receiver.registry.receiver(keyId, receiver.registry.info(keyId)?.generation ?? 0);
          receiver.receive(wire.frames[index] as Uint8Array);
          await wire.run();
          expect(receiver.failure?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
          expect(before).toBe(receiver.registry.receiver(keyId, before?.generation ?? 0));
          sealEverywhere(wire);
        });

        it(`C9: message ${index + 1}, reflected to its sender, ends the session`, async () => {
          const wire = link();
          wire.tamper = (frame, at) => {
            if (at !== index) return [frame];
            const sender = index % 2 === 0 ? wire[initiator] : wire[responder];
            sender.receive(frame);
            return [];
          };
          wire[initiator].registry.negotiate({ algorithm, label, authority: '' });
          await wire.run();
          const sender = index % 2 === 0 ? wire[initiator] : wire[responder];
          expect(sender.failure?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
        });
      }

      it('C9: a keeper does not make a key with itself', async () => {
        const keeper = keeperOf('both');
        const wire = new Link(new Side('client', keeper), new Side('server', keeper));
        wire[initiator].registry.negotiate({ algorithm, label, authority: '' });
        await wire.run();
        expect(wire[responder].failure?.reason).toBe(algorithm === ALGORITHM.PSK ? 'replay' : 'own-message');
        expect([...wire.client.established, ...wire.server.established]).toEqual([]);
      });
    });
  }
}

/** Every sequence of message indices up to a length, with repetitions. */
function* sequences(frames: readonly Uint8Array[], longest: number): Generator<readonly number[]> {
  let shorter: (readonly number[])[] = [[]];
  yield [];
  for (let length = 1; length <= longest; length++) {
    shorter = shorter.flatMap((start) => frames.map((_, index) => [...start, index]));
    yield* shorter;
  }
}

/** A responder that has had nothing but the right messages so far. */
function stillWaits(side: Side, sequence: readonly number[]): boolean {
  return side.failure === undefined && (sequence.join() === '0' || sequence.join() === '0,2');
}

function sealEverywhere({ client, server }: Link): void {
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    for (const keyId of [1, 2]) {
      for (let count = 0; count < 3 && from.registry.sender(keyId) !== undefined; count++) {
        try {
          passEnvelope(from, to, keyId, 'x');
        } catch {
          // The other side may have failed; what counts is which nonces were used.
        }
      }
    }
  }
}
