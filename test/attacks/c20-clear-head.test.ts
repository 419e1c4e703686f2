import { decodeHeaderBlock, HeaderDecompressor, type HeaderList, type SynStream } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn, type SynOptions } from '../support/forge.ts';
import { at, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import {
  ALPHA,
  BETA,
  expectKeyFailure,
  failureOf,
  setVictims,
  tell,
  type Victims,
} from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const HEAD = clearRequest('POST', ALPHA, '/pay?to=bob', [
  ['cookie', 'a=1'],
  ['content-type', 'text/plain'],
]);

/** A careless client: the head goes in the clear, and only the body is sealed. */
async function post(meddle?: Meddler, keyFirst = false): Promise<Victims> {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const early = keyFirst ? await victims.key(ALPHA) : undefined;
  const stream = victims.client.session.openStream(HEAD, { priority: 3 });
  const closed = new Promise((resolve) => stream.once('close', resolve));
  stream.resume();
  const key = early ?? (await victims.key(ALPHA));
  stream.switchKey(key);
  stream.end('the genuine body');
  await closed;
  if (meddle) await failureOf(tell(victims.client.request({ host: ALPHA, path: '/next', key })));
  return victims;
}

/** Another head in front of the genuine body. */
function edited(
  edit: (headers: HeaderList) => HeaderList,
  options: SynOptions & { streamId?: number } = {},
): Meddler {
  return at('up syn-stream 0', ({ frame }) => {
    const { block, streamId, priority } = frame as SynStream;
    const headers = decodeHeaderBlock(new HeaderDecompressor().decompress(block));
    return clearSyn(options.streamId ?? streamId, edit(headers), { priority, ...options });
  });
}

const setting = (name: string, value: string) => (headers: HeaderList) =>
  headers.map(([key, old]): readonly [string, string] => [key, key === name ? value : old]);
const same = (headers: HeaderList): HeaderList => headers;

describe('C20: clear head, sealed body', () => {
  test('control: nobody changes it, and it is known to have come in the clear', async () => {
    const { delivered } = await post();
    expect(delivered).toMatchObject([{ path: '/pay?to=bob', body: 'the genuine body', level: 'none' }]);
  });

  test('control: an attacker who puts the same head in its place changes nothing', async () => {
    expect((await post(edited(same))).delivered).toMatchObject([
      { body: 'the genuine body' },
      { path: '/next' },
    ]);
  });

  const edits: readonly (readonly [string, Meddler])[] = [
    [':method', edited(setting(':method', 'PUT'))],
    [':path', edited(setting(':path', '/pay?to=eve'))],
    [':host', edited(setting(':host', BETA))],
    [':scheme', edited(setting(':scheme', 'https'))],
    [':version', edited(setting(':version', 'HTTP/1.0'))],
    ['a cookie', edited(setting('cookie', 'a=2'))],
    ['a header less', edited((headers) => headers.slice(0, -1))],
    ['a header more', edited((headers) => [...headers, ['x-forwarded-for', '127.0.0.1']])],
    ['the order', edited((headers) => [...headers].reverse())],
    ['the priority', edited(same, { priority: 0 })],
    ['the end of the body', edited(same, { fin: true })],
    ['the stream', edited(same, { streamId: 3 })],
    ['the slot', edited(same, { slot: 1 })],
  ];

  // What came before the run is in its key as well; what comes after it is in the digest of KEY_SWITCH alone.
  describe.each([
    ['before the run', false],
    ['after it', true],
  ])('the head goes %s', (_when, keyFirst) => {
    // A body for a stream that was never opened is thrown away, and the victim waits for an answer.
    const answered = edits.filter(([what]) => !(keyFirst && what === 'the stream'));
    test.each(answered)('%s is changed: the body does not come behind it', async (what, meddle) => {
      const victims = await post(meddle, keyFirst);
      const { delivered } = victims;
      expect(delivered.map(({ received }) => received).join()).not.toContain('genuine');
      expect(delivered.filter(({ path, level }) => path !== '/next' && level !== 'none')).toEqual([]);
      if (!(keyFirst && what === 'the slot')) await expectKeyFailure(victims); // there the stream alone is refused
    });
  });

  test('a sealed stream has no clear head at all', async () => {
    const victims = await setVictims(scope);
    const key = await victims.key(ALPHA);
    await victims.client.request({ host: ALPHA, path: '/', key });
    expect(victims.middle.wire.sent('up', 'syn-stream')).toEqual([]);
    expect(victims.delivered).toMatchObject([{ level: 'authenticated' }]);
  });
});
