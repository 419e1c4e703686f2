import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { residentMemory } from '../support/kernel.ts';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { openTunnel, startTunnel, type Tunnel } from '../support/tunnel.ts';

const MIB = 2 ** 20;
const OTHERS = 96 * MIB;
const expected = { sha256: payloadHash(OTHERS), bytes: OTHERS };
/** What the kernel's socket buffers of three hops and the windows of one stream may hold. */
const IN_FLIGHT = 80 * MIB;
/** Growth that garbage collection can leave behind while the other stream runs; the stalled one would need far more. */
const GROWTH = 64 * MIB;

const scope = new Scope();
afterEach(() => scope.close());

async function memory({ proxy, connect }: Tunnel): Promise<number[]> {
  return Promise.all([proxy, connect].map(({ pid }) => residentMemory(pid)));
}

/** Never ends, and counts what was taken of it. */
class Source {
  taken = 0;

  readonly #chunk = Buffer.alloc(256 * 1024, 'x');

  feed(socket: Socket): void {
    const more = (): void => {
      while (!socket.destroyed) {
        this.taken += this.#chunk.length;
        if (!socket.write(this.#chunk)) return void socket.once('drain', more);
      }
    };
    more();
  }
}

describe('a stalled stream', () => {
  test('a reader that stops does not hold up a neighbour, and its bytes stay at the source', async () => {
    const source = new Source();
    const endless = await tcpServer(scope, (socket) => source.feed(socket));
    const finite = await tcpServer(scope, (socket) => void pipeline(payload(OTHERS), socket));
    const tunnel = await startTunnel(scope, { allow: ['127.0.0.1:*'] });
    expect(await hashOf(await openTunnel(scope, tunnel, finite))).toEqual(expected); // warm: what this needs is not growth
    const before = await memory(tunnel);
    const stalled = await openTunnel(scope, tunnel, endless);
    // While the neighbour's bytes pass, the stalled stream has every chance to pile up.
    for (let round = 0; round < 2; round++) {
      expect(await hashOf(await openTunnel(scope, tunnel, finite))).toEqual(expected);
    }
    const after = await memory(tunnel);
    expect(source.taken).toBeLessThan(IN_FLIGHT);
    for (const [index, bytes] of after.entries()) expect(bytes - (before[index] ?? 0)).toBeLessThan(GROWTH);
    // It is stalled, not broken.
    const taken = source.taken;
    stalled.resume();
    let read = 0;
    for await (const chunk of stalled) {
      read += (chunk as Buffer).length;
      if (read > 2 * IN_FLIGHT) break;
    }
    expect(source.taken).toBeGreaterThan(taken);
  });

  test('a server that never reads does not hold up a neighbour, and its bytes stay at the client', async () => {
    let stuck: Socket | undefined;
    const deaf = await tcpServer(scope, (socket) => {
      stuck = socket.pause();
    });
    const reader = await tcpServer(scope, async (socket) => socket.end(JSON.stringify(await hashOf(socket))));
    const tunnel = await startTunnel(scope, { allow: ['127.0.0.1:*'] });
    const upload = async (): Promise<unknown> => {
      const socket = await openTunnel(scope, tunnel, reader);
      await pipeline(payload(OTHERS), socket);
      return JSON.parse(await text(socket));
    };
    expect(await upload()).toEqual(expected);
    const before = await memory(tunnel);
    const source = new Source();
    source.feed(await openTunnel(scope, tunnel, deaf));
    for (let round = 0; round < 2; round++) expect(await upload()).toEqual(expected);
    const after = await memory(tunnel);
    expect(source.taken).toBeLessThan(IN_FLIGHT);
    for (const [index, bytes] of after.entries()) expect(bytes - (before[index] ?? 0)).toBeLessThan(GROWTH);
    const taken = source.taken;
    let read = 0;
    for await (const chunk of stuck as Socket) {
      read += (chunk as Buffer).length;
      if (read > 2 * IN_FLIGHT) break;
    }
    expect(source.taken).toBeGreaterThan(taken);
  });
});
