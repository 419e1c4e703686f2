import { createHash } from 'node:crypto';
import { encodeControl, encodeDataHead, encodeSealedHead, GOAWAY, RST, TAG_LENGTH } from '@keymux/frames';
import { ALGORITHM, ANONYMOUS_LABEL, KeyRegistry, Keyring, LocalKeeper } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, type Attacker } from '../support/attacker.ts';
import { clearRequest, clearSyn, FloodCompressor } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, NOTHING_EARNED, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, [
    ...['origin', '--host', HOST, '--anonymous', '--limit', 'window-updates-burst=10000'],
    ...NOTHING_EARNED,
  ]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

const upload = (): Uint8Array => clearSyn(1, clearRequest('POST', HOST, '/account'));

/** Frames that move nothing, with what must come before them. */
const FLOODS: readonly (readonly [string, () => Uint8Array, (n: number) => Uint8Array])[] = [
  ['DATA without payload', upload, () => encodeDataHead(1, false, 0)],
  ['resets of streams that are not there', upload, () => reset(9)],
  ['windows of streams that are not there', upload, () => update(9)],
  ['frames of an unknown type', upload, () => Buffer.from('80030bad00000000', 'hex')],
  ['GOAWAY', upload, () => encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 })],
  ['answers to no PING', upload, (n) => encodeControl({ type: 'ping', id: 2 * n + 2 })],
];

const reset = (streamId: number): Uint8Array =>
  encodeControl({ type: 'rst-stream', streamId, status: RST.CANCEL });
const update = (streamId: number): Uint8Array => encodeControl({ type: 'window-update', streamId, delta: 1 });

/** A header block with one header whose name is empty. */
const EMPTY_NAME = Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x61]);

async function flooded(attacker: Attacker, frame: (n: number) => Uint8Array): Promise<void> {
  const frames = function* (): Generator<Uint8Array> {
    for (let n = 0; n < 20_000; n += 200)
      yield Buffer.concat(Array.from({ length: 200 }, (_, index) => frame(n + index)));
  };
  const aftermath = await siege.during(bystanders, async () => {
    await attacker.pour(frames());
    await attacker.closed;
  });
  expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
  expectUnharmed(aftermath);
  expect(aftermath.after.streams).toEqual([0]);
}

/** Negotiates a key with the server, by hand; resolves with what seals frames under it. */
async function sealing(attacker: Attacker): Promise<(plaintext: Uint8Array) => Uint8Array> {
  const keeper = new LocalKeeper({ keyring: new Keyring(), anonymous: [HOST] });
  const registry = new KeyRegistry({ role: 'client', keeper });
  const established = new Promise<void>((resolve) => {
    registry.onProgress = () => {
      for (let event = registry.poll(); event !== undefined; event = registry.poll()) {
        if (event.type === 'established') resolve();
        if (event.type !== 'send') continue;
        const bytes = encodeControl({ type: 'key-nego', ...event.frame });
        attacker.send(ANNOUNCEMENT, bytes);
        registry.sent(event.frame.keyId, bytes, digest(ANNOUNCEMENT));
      }
    };
  });
  const label = ANONYMOUS_LABEL;
  const keyId = registry.negotiate({ algorithm: ALGORITHM.ANONYMOUS, label, authority: HOST, now: 0 });
  const answer = await attacker.message(0);
  const { frame, bytes } = attacker.negotiation(0);
  const all = Buffer.concat(attacker.received);
  registry.receive(frame, bytes, digest(all.subarray(0, all.indexOf(answer.frame))), 0);
  await established;
  return (plaintext) => {
    const key = registry.sender(keyId);
    if (key === undefined) throw new Error('test: no key');
    const head = encodeSealedHead(keyId, key.generation, plaintext.length + TAG_LENGTH);
    return Buffer.concat([head, ...key.seal(head, [plaintext])]);
  };
}

const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

describe('D8: frames that are work and move nothing', () => {
  test.each(FLOODS)('20,000 times %s end the session', async (_what, before, frame) => {
    const attacker = await siege.attacker(scope);
    attacker.send(before());
    await flooded(attacker, frame);
  });

  test('so do headers with an empty name', async () => {
    const compressor = new FloodCompressor();
    await flooded(await siege.attacker(scope), (n) =>
      encodeControl({
        ...{ type: 'syn-stream', streamId: 2 * n + 1, associatedId: 0, priority: 3, slot: 0, fin: true },
        ...{ unidirectional: false, payloadOutside: false },
        block: compressor.compress(EMPTY_NAME),
      }),
    );
  });

  test('so do envelopes with nothing but padding inside', async () => {
    const attacker = await siege.attacker(scope);
    const seal = await sealing(attacker);
    await flooded(attacker, () => seal(encodeControl({ type: 'padding', length: 8 })));
  });
});
