import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { Movable, Moved } from '@keymux/streams';
import { expect, test } from 'vitest';
import { Channel, give, type HandOverError, type Message, Relay, type Take, Taker } from '../src/index.ts';

/** One end of a channel between processes, as node:child_process has it. What is sent arrives in a later turn. */
class Port extends EventEmitter {
  connected = true;
  readonly sent: Message[] = [];
  /** Changes what is sent, or keeps it back. */
  tamper: (message: Message) => object | undefined = (message) => message;
  other: Port | undefined;

  send(message: Message, _handle: unknown, _options: unknown, done: () => void): void {
    this.sent.push(message);
    const passed = this.tamper(message);
    setImmediate(() => {
      if (passed !== undefined) this.other?.emit('message', JSON.parse(JSON.stringify(passed)));
      done();
    });
  }

  close(): void {
    for (const port of [this, this.other]) {
      if (port === undefined) continue;
      port.connected = false;
      port.emit('disconnect');
    }
  }
}

function portPair(): [Port, Port] {
  const [a, b] = [new Port(), new Port()];
  a.other = b;
  b.other = a;
  return [a, b];
}

const channelOf = (port: Port): Channel => new Channel(port as unknown as ChildProcess);

/** A giver, a relay and a taker of this process. */
function setOut(take: Take = () => undefined) {
  const [giver, relayGiver] = portPair();
  const [taker, relayTaker] = portPair();
  const toTaker = channelOf(relayTaker);
  const relay = new Relay(() => toTaker);
  relay.connect(channelOf(relayGiver));
  relay.connect(toTaker);
  const taken: string[] = [];
  const takes = new Taker(channelOf(taker), {
    thing: (moved: Moved) => {
      take(moved);
      taken.push(Buffer.from(moved.state).toString());
      moved.state.fill(0);
    },
  });
  return { giver: channelOf(giver), ports: { giver, relayGiver, taker, relayTaker }, taken, taker: takes };
}

class Thing implements Movable {
  readonly kind: string;
  readonly sockets = [];
  given = 0;
  stayed = 0;
  readonly state: Buffer;

  constructor(state = 'the keys of the session', kind = 'thing') {
    this.state = Buffer.from(state);
    this.kind = kind;
  }

  async ready(): Promise<void> {}

  handOver(): Uint8Array {
    this.given++;
    return this.state;
  }

  stay(): void {
    this.stayed++;
  }
}

function failure(attempt: Promise<void>): Promise<HandOverError> {
  return attempt.then(
    () => Promise.reject(new Error('it was handed over')),
    (error: HandOverError) => error,
  );
}

test('state of any size arrives as it was, and is wiped where it was', async () => {
  const { giver, taken, ports } = setOut();
  const state = 'key '.repeat(100_000);
  const thing = new Thing(state);
  await give(thing, giver);
  expect(taken).toEqual([state]);
  expect(thing.state.every((byte) => byte === 0)).toBe(true);
  expect(ports.giver.sent.filter(({ type }) => type === 'hand-over.state')).toHaveLength(4);
});

test('a relay sees nothing of the state', async () => {
  const { giver, ports } = setOut();
  await give(new Thing(), giver);
  const parts = ports.giver.sent.flatMap((message) =>
    message.type === 'hand-over.state' ? [Buffer.from(message.bytes, 'base64')] : [],
  );
  expect(parts).toHaveLength(1);
  expect(Buffer.concat(parts).includes('keys of')).toBe(false);
});

test.each<[string, (message: Message) => object | undefined, RegExp]>([
  [
    'changed',
    (message) => ('bytes' in message ? { ...message, bytes: flipped(message.bytes) } : message),
    /not what was sealed/,
  ],
  [
    'cut',
    (message) => ('last' in message ? { ...message, last: false, part: 0 } : message),
    /not what was sealed/,
  ],
  [
    'out of order',
    (message) => ('part' in message ? { ...message, part: 1 } : message),
    /a part of the state is missing/,
  ],
])('state that is %s on its way is refused, and lost', async (_, tamper, reason) => {
  const { giver, ports, taken } = setOut();
  ports.giver.tamper = tamper;
  const error = await failure(give(new Thing(), giver));
  expect(error).toMatchObject({
    lost: true,
    code: 'ERR_KEYMUX_HAND_OVER',
    message: expect.stringMatching(reason),
  });
  expect(taken).toEqual([]);
});

test('state is taken once: whoever sends all of it again finds nobody who could open it', async () => {
  const { giver, ports, taken } = setOut();
  await give(new Thing(), giver);
  for (const message of ports.relayTaker.sent) ports.taker.emit('message', message);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(taken).toHaveLength(1);
  expect(ports.taker.sent.filter(({ type }) => type === 'hand-over.taken')).toHaveLength(1);
});

test.each<[string, (message: Message) => object | undefined, RegExp]>([
  [
    'of another version',
    (message) => ({ ...message, version: 2 }),
    /it is of version 2, and 1 is known here/,
  ],
  [
    'of a kind that nobody takes',
    (message) => ({ ...message, kind: 'other' }),
    /nothing here goes on with it/,
  ],
  ['with a field too many', (message) => ({ ...message, more: 1 }), /longer than 100 ms/],
  ['with a name that is none', (message) => ({ ...message, name: '../x' }), /longer than 100 ms/],
  ['and is not heard', () => undefined, /longer than 100 ms/],
])('what is offered %s stays', async (_, tamper, reason) => {
  const { giver, ports } = setOut();
  ports.giver.tamper = (message) => (message.type === 'hand-over.offer' ? tamper(message) : message);
  const thing = new Thing();
  const error = await failure(give(thing, giver, { timeout: 100 }));
  expect(error).toMatchObject({ lost: false, message: expect.stringMatching(reason) });
  expect(thing).toMatchObject({ given: 0, stayed: 1 });
});

test('what a taker cannot go on with is lost, and says why', async () => {
  const { giver } = setOut(() => {
    throw new Error('no room');
  });
  const error = await failure(give(new Thing(), giver));
  expect(error).toMatchObject({
    lost: true,
    message: expect.stringMatching(/no room; it is not known who has it/),
  });
});

test.each(['giver', 'taker'] as const)(
  'before state has left, the end of the channel of the %s changes nothing',
  async (side) => {
    const { giver, ports } = setOut();
    ports.taker.tamper = () => {
      ports[side].close();
      return undefined;
    };
    const thing = new Thing();
    expect(await failure(give(thing, giver))).toMatchObject({ lost: false });
    expect(thing).toMatchObject({ given: 0, stayed: 1 });
  },
);

test('who refuses takes what it has accepted before, and nothing more', async () => {
  const { giver, ports, taker, taken } = setOut();
  ports.taker.tamper = (message) => {
    if (message.type === 'hand-over.ready') taker.refuse('it is ending');
    return message;
  };
  await give(new Thing('accepted before'), giver);
  expect(taken).toEqual(['accepted before']);
  const thing = new Thing();
  expect(await failure(give(thing, giver))).toMatchObject({
    lost: false,
    message: expect.stringMatching(/it is ending; it goes on where it was/),
  });
  expect(thing).toMatchObject({ given: 0, stayed: 1 });
});

test('a key of a taker that is too short is not heard, before state has left', async () => {
  const { giver, ports } = setOut();
  ports.taker.tamper = (message) => ('key' in message ? { ...message, key: 'AAAA' } : message);
  const thing = new Thing();
  expect(await failure(give(thing, giver, { timeout: 50 }))).toMatchObject({ lost: false });
  expect(thing).toMatchObject({ given: 0, stayed: 1 });
});

function flipped(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
  return bytes.toString('base64');
}
