import { GOAWAY, MAX_STREAM_ID } from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn, FloodCompressor } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { HEADERS } from '../support/scripted-peer.ts';
import { SessionPair } from '../support/session-pair.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['origin', '--host', HOST]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

const ask = (streamId: number, compressor: FloodCompressor): Uint8Array =>
  clearSyn(streamId, clearRequest('GET', HOST, '/'), { compressor, fin: true });

describe('D16: stream IDs that are used up, or used again', () => {
  test.each([
    ['the last one', MAX_STREAM_ID],
    ['one before it', MAX_STREAM_ID - 2],
    ['one of the server', 2],
    ['0', 0],
  ])('after 2^31 - 1 comes none: %s ends the session', async (_what, next) => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const aftermath = await siege.during(bystanders, async () => {
      attacker.send(ask(MAX_STREAM_ID - 2, compressor), ask(MAX_STREAM_ID, compressor));
      await attacker.until(({ replies }) => replies.size === 2);
      const frame = Buffer.from(ask(1, compressor));
      frame.writeUInt32BE(next, 8);
      attacker.send(frame);
      await attacker.closed;
    });
    expect([...attacker.replies.keys()]).toEqual([MAX_STREAM_ID - 2, MAX_STREAM_ID]);
    expect(attacker.goaways).toEqual([GOAWAY.PROTOCOL_ERROR]);
    expectUnharmed(aftermath);
    expect(aftermath.after.streams).toEqual([0]);
  });

  test('an ID that was refused is used up as well', async () => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    attacker.send(clearSyn(1, clearRequest('GET', HOST, '/'), { compressor, unidirectional: true }));
    await attacker.until(({ resets }) => resets.size === 1);
    attacker.send(ask(1, compressor));
    await attacker.closed;
    expect(attacker.goaways).toEqual([GOAWAY.PROTOCOL_ERROR]);
  });

  test('a client at 2^31 - 5 opens three streams more, then none; the session and its streams go on', () => {
    const pair = new SessionPair({ firstStreamId: MAX_STREAM_ID - 4 });
    const ids = [1, 2, 3].map(() => pair.client.session.open(HEADERS));
    expect(ids).toEqual([MAX_STREAM_ID - 4, MAX_STREAM_ID - 2, MAX_STREAM_ID]);
    expect(() => pair.client.session.open(HEADERS)).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_IDS_USED_UP' }),
    );
    expect(pair.client.session.canOpen).toBe(false);
    pair.settle();
    for (const id of ids) {
      pair.server.session.reply(id, HEADERS);
      pair.server.session.send(id, Buffer.from(`for ${id}`));
    }
    pair.settle();
    for (const id of ids) expect(pair.client.received(id).toString()).toBe(`for ${id}`);
    expect(pair.client.session.error ?? pair.server.session.error).toBeUndefined();
  });
});
