import { setImmediate } from 'node:timers/promises';
import { encodeControl, GOAWAY, RST } from '@keymux/frames';
import { Origin } from '@keymux/origin';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Attacker } from '../support/attacker.ts';
import { clearRequest, clearSyn, FloodCompressor, type SynOptions } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import {
  type Bystander,
  callers,
  expectUnharmed,
  NOTHING_EARNED,
  regulars,
  Siege,
} from '../support/siege.ts';

const HOST = 'alpha.test';

const shared = new Scope();
const scope = new Scope();
afterEach(() => scope.close());
afterAll(() => shared.close());

const reset = (streamId: number): Uint8Array =>
  encodeControl({ type: 'rst-stream', streamId, status: RST.CANCEL });

/** The frames of one session that opens streams. */
class Opener {
  readonly #compressor = new FloodCompressor();
  #next = 1;

  /** A stream that waits for its body, and its ID. */
  open(method: string, path: string, options: SynOptions = {}): [Uint8Array, number] {
    const id = this.#next;
    this.#next += 2;
    const headers = method === 'CONNECT' ? connect(path) : clearRequest(method, HOST, path);
    return [clearSyn(id, headers, { compressor: this.#compressor, ...options }), id];
  }

  /** So many streams that are reset at once, in pieces of a hundred. */
  *pairs(count: number, method: string, path: string): Generator<Uint8Array> {
    for (let made = 0; made < count; made += 100) {
      const pairs = Array.from({ length: 100 }, () => this.open(method, path));
      yield Buffer.concat(pairs.flatMap(([syn, id]) => [syn, reset(id)]));
    }
  }
}

const connect = (destination: string): (readonly [string, string])[] => [
  [':method', 'CONNECT'],
  [':path', destination],
  [':version', 'HTTP/1.1'],
];

describe('D3: streams that are opened and reset at once', () => {
  describe('against an origin', () => {
    let siege: Siege;
    let bystanders: Bystander[];
    beforeAll(async () => {
      siege = await Siege.start(shared, ['origin', '--host', HOST, ...NOTHING_EARNED]);
      bystanders = await regulars(shared, siege, HOST);
    });

    test('10,000 of them end the session', async () => {
      const attacker = await siege.attacker(scope);
      const aftermath = await siege.during(bystanders, async () => {
        await attacker.pour(new Opener().pairs(10_000, 'POST', '/account'));
        await attacker.closed;
      });
      expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
      expectUnharmed(aftermath);
      expect(aftermath.after.streams).toEqual([0]);
    });
  });

  test('against a proxy: 10,000 tunnels end the session, and hardly any is dialled', async () => {
    let dialled = 0;
    const destination = await tcpServer(scope, (socket) => {
      dialled++;
      socket.pipe(socket);
    });
    const siege = await Siege.start(scope, ['proxy', '--clear', '--allow', '127.0.0.1:*', ...NOTHING_EARNED]);
    const bystanders = await callers(scope, siege, destination);
    const attacker = await siege.attacker(scope);
    const aftermath = await siege.during(bystanders, async () => {
      dialled = 0;
      await attacker.pour(new Opener().pairs(10_000, 'CONNECT', `127.0.0.1:${destination}`));
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    expectUnharmed(aftermath);
    expect(dialled).toBeLessThan(500 + aftermath.served);
  });

  describe('handlers that go on when their stream is over', () => {
    const LIMIT = 10;
    let running = 0;
    let most = 0;
    let started = 0;
    let finish: () => void = () => undefined;

    /** An origin whose handlers end when the test says so. */
    async function slowOrigin(): Promise<number> {
      running = most = started = 0;
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const handler = async (): Promise<{ status: number }> => {
        started++;
        most = Math.max(most, ++running);
        await finished;
        running--;
        return { status: 204 };
      };
      const limits = { maxConcurrentStreams: LIMIT };
      const origin = new Origin({ hosts: [{ name: HOST, handler }], limits });
      const address = await origin.listen({ host: '127.0.0.1', port: 0 });
      scope.defer(() => {
        finish();
        return origin.close();
      });
      if (typeof address === 'string') throw new Error('test: no port');
      return address.port;
    }

    test('are never more than the limit on streams; who is over it is refused until they are done', async () => {
      const attacker = await Attacker.connect(scope, await slowOrigin());
      const opener = new Opener();
      const first = Array.from({ length: LIMIT }, () => opener.open('GET', '/', { fin: true }));
      attacker.send(...first.map(([syn]) => syn));
      while (running < LIMIT) await setImmediate();
      attacker.send(...first.map(([, id]) => reset(id)));
      const second = Array.from({ length: LIMIT }, () => opener.open('GET', '/', { fin: true }));
      attacker.send(...second.map(([syn]) => syn));
      while (attacker.resets.size < LIMIT) await setImmediate();
      expect([...attacker.resets]).toEqual(second.map(([, id]) => [id, RST.REFUSED_STREAM]));
      expect(most).toBe(LIMIT);
      finish();
      while (running > 0) await setImmediate();
      const [syn, id] = opener.open('GET', '/', { fin: true });
      attacker.send(syn);
      while (!attacker.replies.has(id)) await setImmediate();
      expect(started).toBe(LIMIT + 1);
    });

    test('are not even begun for streams that were reset in the same breath', async () => {
      const attacker = await Attacker.connect(scope, await slowOrigin());
      const opener = new Opener();
      attacker.send(...opener.pairs(100, 'GET', '/'));
      const [syn] = opener.open('GET', '/', { fin: true });
      attacker.send(syn);
      while (running === 0) await setImmediate();
      expect(started).toBe(1);
    });

    test('are not begun for requests that want no answer: such a stream is over with its first frame', async () => {
      const attacker = await Attacker.connect(scope, await slowOrigin());
      const opener = new Opener();
      const options = { fin: true, unidirectional: true };
      attacker.send(...Array.from({ length: 1_000 }, () => opener.open('GET', '/', options)[0]));
      const [open, id] = opener.open('POST', '/', { unidirectional: true });
      attacker.send(open, opener.open('GET', '/', { fin: true })[0]);
      while (running === 0) await setImmediate();
      expect(started).toBe(1);
      await attacker.until(({ resets }) => resets.size > 0);
      expect([...attacker.resets]).toEqual([[id, RST.CANCEL]]);
    });
  });
});
