import { describe, expect, it } from 'vitest';
import { hmacSha256 } from '../src/crypto.ts';
import { ALGORITHM, KeyError } from '../src/index.ts';
import { infoOf, LABEL, link, passEnvelope, type Side } from './link.ts';
import { METHODS, type Method } from './methods.ts';

const [PSK] = METHODS as readonly [Method];
const SIGNED = METHODS.find(({ algorithm }) => algorithm === ALGORITHM.SIGNED) as Method;
/** The responder needs no envelope to know who is there. */
const PROVES_BY_MESSAGES = new Set<number>([ALGORITHM.PSK, ALGORITHM.SIGNED]);
const FIRST_ID = { client: 1, server: 2 } as const;

for (const initiator of ['client', 'server'] as const) {
  describe(`psk, begun by the ${initiator}`, () => {
    it('seals early data at once, and everything once the responder has spoken', async () => {
      const { sides, keyId, wire } = begin(initiator, PSK);
      await sides.initiator.settle();
      expect(sides.initiator.registry.sender(keyId)).toMatchObject({
        generation: 0,
        previousSealed: undefined,
      });
      expect(infoOf(sides.initiator, keyId)).toMatchObject({
        early: true,
        forwardSecrecy: false,
        peer: `psk:${LABEL}`,
      });
      const early = sealOne(sides.initiator, keyId, 'early');
      const earlySender = sides.initiator.registry.sender(keyId);

      await wire.run();
      expect(wire.frames).toHaveLength(2);
      expect(sides.responder.registry.receiver(keyId, 0)?.info.early).toBe(true);
      expect(early.openAt(sides.responder)).toBe('early');

      expect(() => earlySender?.seal(new Uint8Array(10), [Uint8Array.of(1)])).toThrow(KeyError);
      const sender = sides.initiator.registry.sender(keyId);
      expect(sender).toMatchObject({ generation: 1, previousSealed: 1, sealed: 0 });
      expect(sides.responder.registry.sender(keyId)).toMatchObject({
        generation: 1,
        previousSealed: undefined,
      });
      expect(passEnvelope(sides.initiator, sides.responder, keyId, 'there')).toBe('there');
      sides.responder.registry.confirmGeneration(keyId, 1);
      expect(sides.responder.registry.receiver(keyId, 0)).toBeUndefined();
      expect(passEnvelope(sides.responder, sides.initiator, keyId, 'and back')).toBe('and back');
      for (const side of [sides.initiator, sides.responder]) {
        expect(infoOf(side, keyId)).toMatchObject({ early: false, level: 'authenticated', generation: 1 });
        expect(side.registry.connectionKey()).toBe(keyId);
      }
    });

    it('reports each generation and direction as it becomes usable', async () => {
      const { sides, wire } = begin(initiator, PSK);
      await wire.run();
      expect(reported(sides.initiator)).toEqual([
        { generation: 0, level: 'authenticated', early: true, send: true, receive: false },
        { generation: 1, level: 'authenticated', early: false, send: true, receive: true },
      ]);
      expect(reported(sides.responder)).toEqual([
        { generation: 0, level: 'authenticated', early: true, send: false, receive: true },
        { generation: 1, level: 'authenticated', early: false, send: true, receive: true },
      ]);
    });
  });

  describe(`signed, begun by the ${initiator}`, () => {
    it('proves both sides before either uses the key', async () => {
      const { sides, keyId, wire } = begin(initiator, SIGNED);
      await wire.run();
      expect(wire.frames).toHaveLength(3);
      for (const side of [sides.initiator, sides.responder]) {
        expect(reported(side)).toEqual([
          { generation: 0, level: 'authenticated', early: false, send: true, receive: true },
        ]);
        expect(side.registry.connectionKey()).toBe(keyId);
      }
      expect(passEnvelope(sides.responder, sides.initiator, keyId, 'hello')).toBe('hello');
      expect(passEnvelope(sides.initiator, sides.responder, keyId, 'hello too')).toBe('hello too');
      expect(infoOf(wire.client, keyId).peer).toMatch(/^ssh-ed25519 SHA256:\S{43} \(\[a\.example\]:6121\)$/);
      expect(infoOf(wire.server, keyId).peer).toMatch(/^ssh-ed25519 SHA256:\S{43} \(alice\)$/);
    });
  });

  for (const method of METHODS.filter(({ algorithm }) => !PROVES_BY_MESSAGES.has(algorithm))) {
    describe(`${method.name}, begun by the ${initiator}`, () => {
      const level = method.algorithm === ALGORITHM.ANONYMOUS ? 'passive' : 'authenticated';

      it('makes a key that the responder uses only after the first envelope has proven the initiator', async () => {
        const { sides, keyId, wire } = begin(initiator, method);
        await wire.run();
        expect(wire.frames).toHaveLength(method.messages);
        expect(sides.responder.registry.sender(keyId)).toBeUndefined();
        expect(sides.responder.registry.connectionKey()).toBeUndefined();
        expect(infoOf(sides.responder, keyId).level).toBe('none');

        expect(passEnvelope(sides.initiator, sides.responder, keyId, 'hello')).toBe('hello');
        expect(infoOf(sides.responder, keyId).level).toBe(level);
        expect(sides.responder.registry.receiver(keyId, 0)?.info.level).toBe(level);
        expect(sides.responder.registry.connectionKey()).toBe(keyId);
        expect(passEnvelope(sides.responder, sides.initiator, keyId, 'hello too')).toBe('hello too');
        expect(reported(sides.initiator)).toEqual([
          { generation: 0, level, early: false, send: true, receive: true },
        ]);
        expect(reported(sides.responder)).toEqual([
          { generation: 0, level: 'none', early: false, send: false, receive: true },
          { generation: 0, level, early: false, send: true, receive: true },
        ]);
      });
    });
  }
}

describe('a key', () => {
  for (const method of METHODS) {
    it(`of ${method.name} opens nothing if the sides have not seen the same clear frames`, async () => {
      const { sides, keyId, wire } = begin('client', method);
      sides.responder.receivedDigest.update('a frame that the initiator has not sent');
      await wire.run();
      const envelope = sealOne(sides.initiator, keyId, 'x');
      expect(() => envelope.openAt(sides.responder)).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session' }),
      );
    });

    it(`of ${method.name} exports the same secret on both sides, and another in another run`, async () => {
      const exported: string[] = [];
      for (let run = 0; run < 2; run++) {
        const { sides, keyId, wire } = begin('client', method);
        if (run === 1) wire.client.sentDigest.update('x');
        if (run === 1) wire.server.receivedDigest.update('x');
        await wire.run();
        for (const side of [sides.initiator, sides.responder]) {
          exported.push(
            side.registry.exporter(keyId)?.use((bytes) => Buffer.from(bytes).toString('hex')) ?? '',
          );
        }
      }
      expect(exported[0]).toHaveLength(64);
      expect(exported[1]).toBe(exported[0]);
      expect(exported[2]).not.toBe(exported[0]);
    });
  }

  it.each(METHODS)(
    'of $name proves a switch alike on both sides, for one run and generation',
    async (method) => {
      const proofs: string[] = [];
      for (let run = 0; run < 2; run++) {
        const { sides, keyId, wire } = begin('client', method);
        if (run === 1) wire.client.sentDigest.update('x');
        if (run === 1) wire.server.receivedDigest.update('x');
        await wire.run();
        const generation = sides.initiator.registry.sender(keyId)?.generation ?? -1;
        const made = (side: Side, message: string, at = generation) =>
          Buffer.from(side.registry.switchProof(keyId, at, Buffer.from(message)) ?? []).toString('hex');
        const { initiator, responder } = sides;
        expect(made(initiator, 'a')).toHaveLength(64);
        expect(made(responder, 'a')).toBe(made(initiator, 'a'));
        expect(made(responder, 'b')).not.toBe(made(responder, 'a'));
        expect(made(responder, 'a', generation + 1)).toBe('');
        if (generation === 1) expect(made(responder, 'a', 0)).toBe(made(initiator, 'a', 0));
        if (generation === 1) expect(made(responder, 'a', 0)).not.toBe(made(responder, 'a'));
        expect(responder.registry.switchProof(keyId + 2, generation, Buffer.from('a'))).toBeUndefined();
        const exporter = initiator.registry
          .exporter(keyId)
          ?.use((bytes) => hmacSha256(bytes, Buffer.from('a')));
        expect(made(initiator, 'a')).not.toBe(Buffer.from(exporter ?? []).toString('hex'));
        proofs.push(made(initiator, 'a'));
      }
      expect(proofs[1]).not.toBe(proofs[0]);
    },
  );

  it('for a host is no connection key', async () => {
    const { sides, wire } = begin('client', PSK, 'a.example');
    await wire.run();
    expect(sides.initiator.established).toHaveLength(1);
    expect(infoOf(sides.responder, 1).authority).toBe('a.example');
    expect(sides.initiator.registry.connectionKey()).toBeUndefined();
  });

  it('with forward secrecy is preferred as connection key, whichever came first', async () => {
    const wire = link();
    wire.client.registry.negotiate({ algorithm: ALGORITHM.SPIPED, label: LABEL, authority: '' });
    await wire.run();
    wire.client.registry.negotiate({ algorithm: ALGORITHM.PSK, label: LABEL, authority: '' });
    await wire.run();
    expect(wire.client.established).toHaveLength(2);
    expect(wire.client.registry.connectionKey()).toBe(1);
  });

  it('depends on the nesting depth', async () => {
    const wire = link();
    wire.server.registry.setDepth(1);
    wire.client.registry.negotiate({ algorithm: ALGORITHM.PSK, label: LABEL, authority: '' });
    await wire.run();
    expect(wire.server.failure?.reason).toBe('wrong-key');
  });
});

function begin(initiator: 'client' | 'server', { algorithm, label }: Method, authority = '') {
  const wire = link();
  const other = initiator === 'client' ? 'server' : 'client';
  const sides = { initiator: wire[initiator], responder: wire[other] };
  const keyId = sides.initiator.registry.negotiate({ algorithm, label, authority });
  expect(keyId).toBe(FIRST_ID[initiator]);
  return { wire, sides, keyId };
}

function reported(side: Side) {
  return side.events
    .filter((event) => event.type === 'established')
    .map(({ key: { generation, level, early }, send, receive }) => ({
      generation,
      level,
      early,
      send,
      receive,
    }));
}

function sealOne(from: Side, keyId: number, text: string) {
  const key = from.registry.sender(keyId);
  if (key === undefined) throw new KeyError('ERR_KEYMUX_KEY_USAGE', 'no sender');
  const head = new Uint8Array(10).fill(key.generation);
  const body = Buffer.concat(key.seal(head, [Buffer.from(text)]));
  return {
    openAt: (to: Side): string => {
      const receiver = to.registry.receiver(keyId, key.generation);
      if (receiver === undefined) throw new Error('no receiver');
      return Buffer.from(receiver.open(head, body)).toString();
    },
  };
}
