import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { encodeControl, encodeHeaderBlock, GOAWAY, HeaderCompressor, SETTING } from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';
const MIB = 2 ** 20;
/** What a stream holds that nobody reads is some 200 KiB; the streams here are 50. */
const GROWTH = 64 * MIB;
/** How long the carrier may take for what it was given, 256 KiB at most, in milliseconds; who reads must not be held up for so long by a busy machine. */
const LIMIT = 5_000;
/** More than the buffers of the kernel hold. */
const FILE = 24 * MIB;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  const path = await shared.directory();
  await Promise.all([writeFile(path('large'), Buffer.alloc(FILE)), writeFile(path('index.html'), 'hello')]);
  const limit = ['--limit', `output-timeout=${LIMIT}`];
  siege = await Siege.start(shared, ['origin', '--dir', `${HOST}=${path('.')}`, ...limit]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** The beginning of a session whose windows let the peer send as much as it can, or `window` bytes on each stream. */
function opening(window = 0x7fff_ffff): Uint8Array {
  const entries = [{ id: SETTING.INITIAL_WINDOW_SIZE, value: window, flags: 0 }];
  const settings = encodeControl({ type: 'settings', clear: false, entries });
  return Buffer.concat([settings, encodeControl({ type: 'window-update', streamId: 0, delta: 2 ** 30 })]);
}

/** Requests for the large file, on streams of one session. */
function requests(number: number): Uint8Array[] {
  const compressor = new HeaderCompressor();
  const head = [
    [':method', 'GET'],
    [':path', '/large'],
    [':host', HOST],
    [':scheme', 'http'],
    [':version', 'HTTP/1.1'],
  ] as const;
  return Array.from({ length: number }, (_, index) =>
    encodeControl({
      ...{ type: 'syn-stream', streamId: 2 * index + 1, associatedId: 0, priority: 3, slot: 0 },
      ...{ fin: true, unidirectional: false, payloadOutside: false },
      block: compressor.compress(encodeHeaderBlock(head)),
    }),
  );
}

const grain = (streamId: number): Uint8Array => encodeControl({ type: 'window-update', streamId, delta: 1 });

/** Reads so many bytes every few milliseconds until that is enough. */
async function readSlowly(socket: Socket, bytes: number, enough: (read: number) => boolean): Promise<void> {
  for (let read = 0; !enough(read); await pause(5)) {
    if (socket.readableEnded || socket.destroyed) throw new Error(`cut off after ${read} bytes`);
    read += (socket.read(bytes) ?? socket.read())?.length ?? 0;
  }
}

async function connected(): Promise<Socket> {
  const socket = connect({ port: siege.port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  scope.defer(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

describe('D10: who does not read', () => {
  test('and goes on sending is cut off; what was made for him is gone', async () => {
    for (const request of bystanders) await request();
    const quiet = await siege.vitals();
    const aftermath = await siege.during(bystanders, async () => {
      const deaf = await siege.attacker(scope);
      deaf.deafen();
      deaf.send(opening(), ...requests(50));
      await siege.until(({ streams }) => streams.includes(50));
      const busy = setInterval(() => deaf.send(grain(1)), 20);
      scope.defer(() => clearInterval(busy));
      // Not only the session, but all that was made for it; what lies in the carrier has its last 5 seconds.
      await siege.until(({ streams, held }) => !streams.includes(50) && held < quiet.held + 4 * MIB);
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('but now and then a little has no more of it; who is only slow gets everything', async () => {
    const [dribbling, slow] = [await connected(), await connected()];
    const aftermath = await siege.during(bystanders, async () => {
      dribbling.write(Buffer.concat([opening(), ...requests(3)]));
      slow.write(Buffer.concat([opening(), ...requests(1)]));
      let over = false;
      const dribble = readSlowly(dribbling, 64, () => over).catch(() => undefined); // cut off, that is
      await readSlowly(slow, 64 * 1024, (read) => read >= FILE);
      await siege.until(({ streams }) => !streams.includes(3));
      over = true;
      await dribble;
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('more than a byte at a time does not get a frame for each', async () => {
    const attacker = await siege.attacker(scope);
    const aftermath = await siege.during(bystanders, async () => {
      attacker.send(opening(0), ...requests(10));
      await siege.until(({ streams }) => streams.includes(10));
      for (let n = 0; n < 200_000 && attacker.goaways.length === 0; n += 10) {
        attacker.send(...Array.from({ length: 10 }, (_, index) => grain(2 * index + 1)));
        await pause(0);
      }
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    // A head of 8 bytes and one of payload, about as often as the budget has it.
    expect(Buffer.concat(attacker.received).length).toBeLessThan(100_000);
    expectUnharmed(aftermath, { growth: GROWTH });
  });
});
