import { encodeControl, GOAWAY } from '@keymux/frames';
import { ALGORITHM, ANONYMOUS_LABEL, KeyRegistry, Keyring, LocalKeeper } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, type Attacker } from '../support/attacker.ts';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, NOTHING_EARNED, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['origin', '--host', HOST, '--anonymous', ...NOTHING_EARNED]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

const PING = encodeControl({ type: 'ping', id: 1 });
const SETTINGS = encodeControl({
  type: 'settings',
  clear: false,
  entries: [{ id: 7, value: 65_536, flags: 0 }],
});
/** The first message of a run, which is never gone on with. */
function beginRun(): Promise<Uint8Array> {
  const keeper = new LocalKeeper({ keyring: new Keyring(), anonymous: [HOST] });
  const registry = new KeyRegistry({ role: 'client', keeper });
  registry.negotiate({ algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: HOST, now: 0 });
  return new Promise((resolve) => {
    registry.onProgress = () => {
      const event = registry.poll();
      if (event?.type === 'send') resolve(encodeControl({ type: 'key-nego', ...event.frame }));
    };
  });
}

/** 100,000 times the same frame. */
function* flood(frame: Uint8Array): Generator<Uint8Array> {
  const chunk = Buffer.concat(Array.from({ length: 1_000 }, () => frame));
  for (let chunks = 0; chunks < 100; chunks++) yield chunk;
}

/** Sends it until the connection is over. */
async function flooded(attacker: Attacker, frame: Uint8Array): Promise<void> {
  const aftermath = await siege.during(bystanders, async () => {
    await attacker.pour(flood(frame));
    await attacker.closed;
  });
  expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
  expectUnharmed(aftermath);
}

describe('D7: PINGs and SETTINGS without end', () => {
  test.each([
    ['PINGs', PING],
    ['SETTINGS', SETTINGS],
  ])('100,000 %s end the session of their sender', async (_what, frame) => {
    await flooded(await siege.attacker(scope), frame);
  });

  test('so do PINGs while a key is negotiated: nothing waits for a switch', async () => {
    const attacker = await siege.attacker(scope);
    attacker.send(ANNOUNCEMENT, await beginRun());
    await attacker.message(0);
    await flooded(attacker, PING);
  });

  test('who does not read the answers does not make them pile up', async () => {
    const attacker = await siege.attacker(scope);
    attacker.deafen();
    const aftermath = await siege.during(bystanders, async () => {
      await attacker.pour(flood(PING));
      await siege.until(({ streams }) => streams.length === 1);
    });
    expectUnharmed(aftermath);
  });
});
