import { writeFile } from 'node:fs/promises';
import { encodeControl, GOAWAY, type HeaderList, RST, SETTING } from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn, FloodCompressor } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, NOTHING_EARNED, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';
const MIB = 2 ** 20;
const FILE = 200_000;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  const pages = await shared.directory();
  await writeFile(pages('index.html'), 'hello');
  await writeFile(pages('large'), Buffer.alloc(FILE));
  siege = await Siege.start(shared, [
    ...['origin', '--dir', `${HOST}=${pages('')}`, '--host', 'beta.test'],
    ...['--limit', 'stall-timeout=300', '--limit', 'stalled-payload=330000', '--limit', 'resets-burst=20'],
    ...NOTHING_EARNED,
  ]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** A request that is not over yet: its body is to come. */
const hold = (streamId: number, compressor: FloodCompressor, more: HeaderList): Uint8Array =>
  clearSyn(streamId, clearRequest('POST', 'beta.test', '/account', more), { compressor });

/** A header block of empty values, which a sender of ours would not make. */
function emptyFields(count: number): Buffer {
  const field = Buffer.from([0, 0, 0, 1, 0x61, 0, 0, 0, 0]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(count);
  return Buffer.concat([length, ...Array.from({ length: count }, () => field)]);
}

function* requests(count: number, block: Uint8Array): Generator<Uint8Array> {
  const compressor = new FloodCompressor();
  for (let n = 0; n < count; n++) {
    yield encodeControl({
      ...{ type: 'syn-stream', streamId: 2 * n + 1, associatedId: 0, priority: 3, slot: 0, fin: false },
      ...{ unidirectional: false, payloadOutside: false },
      block: compressor.compress(block),
    });
  }
}

/** The peer's window for new streams. */
const window = (value: number): Uint8Array =>
  encodeControl({
    ...{ type: 'settings', clear: false },
    entries: [{ id: SETTING.INITIAL_WINDOW_SIZE, value, flags: 0 }],
  });

describe('D2: headers and answers that a peer makes the server hold', () => {
  test.each([
    ['20,000 empty fields on each of 100 streams', 20_000, GOAWAY.FRAME_TOO_LARGE],
    ['6,000 empty fields on each of 100 streams', 6_000, GOAWAY.EXCESSIVE_LOAD],
  ])('%s end the session', async (_what, count, status) => {
    const attacker = await siege.attacker(scope);
    const aftermath = await siege.during(bystanders, async () => {
      await attacker.pour(requests(100, emptyFields(count)));
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([status]);
    expectUnharmed(aftermath, { growth: 48 * MIB });
  });

  test('60 KB of headers on each of 1,024 streams, which are 60 bytes on the wire: most are refused', async () => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const large: HeaderList = Array.from({ length: 60 }, (_, n) => [`x-${n}`, 'x'.repeat(1_000)]);
    const frames = function* (): Generator<Uint8Array> {
      yield window(0);
      for (let n = 0; n < 1_024; n++) yield hold(2 * n + 1, compressor, large);
    };
    const aftermath = await siege.during(bystanders, async () => {
      await attacker.pour(frames());
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    for (const status of attacker.resets.values()) expect(status).toBe(RST.REFUSED_STREAM);
    expectUnharmed(aftermath, { growth: 48 * MIB });
    expect(aftermath.after.streams).toEqual([0]);
  });

  test('answers that wait for a shut window: the oldest are ended while there are too many', async () => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const ask = (id: number): Uint8Array =>
      clearSyn(id, clearRequest('GET', HOST, '/large'), { compressor, fin: true });
    const aftermath = await siege.during(bystanders, async () => {
      attacker.send(window(0), ...Array.from({ length: 8 }, (_, n) => ask(2 * n + 1)));
      await attacker.until(({ resets }) => resets.size >= 3);
    });
    // Five times the 65,536 bytes that are read of a file at once may wait as long as they like.
    expect([...attacker.resets]).toEqual([1, 3, 5].map((id) => [id, RST.CANCEL]));
    expectUnharmed(aftermath, { growth: 48 * MIB });
    expect(aftermath.after.streams).toEqual([0, 5]);
  });

  test('so many of them end the session', async () => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const ask = (id: number): Uint8Array =>
      clearSyn(id, clearRequest('GET', HOST, '/large'), { compressor, fin: true });
    const aftermath = await siege.during(bystanders, async () => {
      attacker.send(window(0), ...Array.from({ length: 150 }, (_, n) => ask(2 * n + 1)));
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    expect(aftermath.failures).toEqual([]);
  });
});
