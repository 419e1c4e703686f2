import { describe, expect, it } from 'vitest';
import { ALGORITHM, Keyring, PreSharedKey } from '../src/index.ts';
import { keeperOf, LABEL, Link, link, Side } from './link.ts';
import { METHODS, type Method } from './methods.ts';
import { seeded } from './random.ts';

for (const method of METHODS) {
  const { name, algorithm, messages, label, longFields = {} } = method;
  describe(name, () => {
    for (let index = 0; index < messages; index++) {
      const fields = longFields[index] ?? [];
      const bytes = fields.length > 0 ? 'a byte' : 'any byte';
      it(`does not survive a change of ${bytes} of message ${index + 1}`, async () => {
        const whole = await run(method);
        const length = whole.frames[index]?.length ?? 0;
        for (const offset of offsetsToChange(length, fields)) {
          for (const bit of offset < 12 ? [1, 2, 4, 8, 16, 32, 64, 128] : [1 << (offset % 8)]) {
            const wire = await run(method, (frame, at) => {
              if (at !== index) return frame;
              const changed = Uint8Array.from(frame);
              changed[offset] = (changed[offset] ?? 0) ^ bit;
              return changed;
            });
            expectNoKey(wire, `byte ${offset} bit ${bit}`);
            expect(whole.client.established).toHaveLength(1);
          }
        }
      });

      it(`does not survive a shorter or longer message ${index + 1}`, async () => {
        for (const change of [-32, -1, 1, 32]) {
          const wire = await run(method, (frame, at) => (at === index ? resized(frame, change) : frame));
          expectNoKey(wire, `${change} bytes`);
        }
      });
    }

    it.skipIf(label !== LABEL)(
      'fails with a wrong key, an unknown label and a wrong authority alike',
      async () => {
        const failures: unknown[] = [];
        const lengths: number[] = [];
        for (const { file, label, authorities } of [
          { file: 'another', label: LABEL, authorities: [''] },
          { file: 'key file', label: 'other-label', authorities: [''] },
          { file: 'key file', label: LABEL, authorities: ['b.example'] },
        ]) {
          const keyring = new Keyring();
          keyring.add(new PreSharedKey(seeded(file)(32)), { label, authorities });
          const wire = new Link(
            new Side('client', keeperOf('client')),
            new Side('server', keeperOf('server', { keyring })),
          );
          wire.client.registry.negotiate({ algorithm, label: LABEL, authority: '' });
          await wire.run();
          expect(wire.client.established).toEqual([]);
          expect(wire.server.established).toEqual([]);
          const error = wire.server.failure;
          failures.push({ code: error?.code, scope: error?.scope });
          lengths.push(wire.frames.length);
        }
        expect(new Set(failures.map((failure) => JSON.stringify(failure))).size).toBe(1);
        expect(failures[0]).toEqual({ code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session' });
        expect(new Set(lengths).size).toBe(1);
      },
    );

    it.skipIf(label !== LABEL)('fails if this role was not given to the key', async () => {
      const keyring = new Keyring();
      keyring.add(new PreSharedKey(seeded('key file')(32)), { authorities: [''], roles: ['initiator'] });
      const wire = link({ server: { keyring } });
      wire.client.registry.negotiate({ algorithm, label: LABEL, authority: '' });
      await wire.run();
      expect(wire.server.failure?.reason).toBe('unknown-label');
    });
  });
}

/**
 * Every byte, but of fields of more than 64 bytes only the first and the last 32, and every 23rd between those: nothing looks at single bytes of such
 * a field. `fields` are the bytes of the last fields.
 */
function offsetsToChange(length: number, fields: readonly number[]): number[] {
  const skipped = new Set<number>();
  let start = length - fields.reduce((sum, field) => sum + field, 0);
  for (const field of fields) {
    for (let at = 32; at < field - 32; at++) if (at % 23 !== 0) skipped.add(start + at);
    start += field;
  }
  return Array.from({ length }, (_, offset) => offset).filter((offset) => !skipped.has(offset));
}

async function run(
  { algorithm, label }: Method,
  change: (frame: Uint8Array, index: number) => Uint8Array = (frame) => frame,
): Promise<Link> {
  const wire = link();
  wire.tamper = (frame, index) => [change(frame, index)];
  wire.client.registry.negotiate({ algorithm, label, authority: '' });
  await wire.run();
  return wire;
}

/** The client, who began, has no key but for early data; the server has none that it could seal under without having been lied to. */
function expectNoKey(wire: Link, what: string): void {
  const { client, server } = wire;
  if (wire.frames.length === 3) {
    // Only signed has three messages. The client has verified the server before it sent the third, so its key is good, but nobody shares it.
    expect(server.failure, what).toBeDefined();
    expect(server.established, what).toEqual([]);
    return;
  }
  expect(client.established, what).toEqual([]);
  if (wire.frames.length < 2 || client.failure === undefined) {
    // It was the server who was to notice. It may have answered with REJECT, to an ALG_ID that does not exist.
    expect(server.failure ?? server.events.find((event) => event.type === 'send'), what).toBeDefined();
    expect(server.established, what).toEqual([]);
    return;
  }
  // In psk the server has verified the client by then; in spiped it waits for an envelope that can never come.
  const proven = server.established.filter((event) => event.send);
  expect(
    proven.every((event) => event.key.algorithm === ALGORITHM.PSK),
    what,
  ).toBe(true);
}

/** The frame with its data cut or lengthened, and both lengths right. */
function resized(frame: Uint8Array, change: number): Uint8Array {
  const changed = new Uint8Array(frame.length + change);
  changed.set(frame.subarray(0, changed.length));
  const view = new DataView(changed.buffer);
  view.setUint32(4, view.getUint32(4) + change);
  view.setUint16(10, view.getUint16(10) + change);
  return changed;
}
