import { encodeControl, encodeDataHead, encodeHeaderBlock, type HeaderList } from '@keymux/frames';
import { Keyring, LocalKeeper } from '@keymux/keys';
import type { MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { clearRequest } from '../support/forge.ts';
import { Insider } from '../support/insider.ts';
import type { Way } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { switchDigestOf } from '../support/scripted-peer.ts';
import { ALPHA, BETA, expectKeyFailure, Keys, setVictims, type Victims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const OK: HeaderList = [
  [':status', '200 OK'],
  [':version', 'HTTP/1.1'],
];

function data(streamId: number, text: string, fin: boolean): Uint8Array {
  return Buffer.concat([encodeDataHead(streamId, fin, text.length), Buffer.from(text)]);
}

function syn(streamId: number, headers: HeaderList, slot: number, fin: boolean): Uint8Array {
  return encodeControl({
    ...{ type: 'syn-stream', streamId, associatedId: 0, priority: 3, slot, fin },
    ...{ unidirectional: false, payloadOutside: false },
    block: encodeHeaderBlock(headers),
  });
}

function keySwitch(streamId: number, previousKeyId: number, count: number, digest: Uint8Array): Uint8Array {
  return encodeControl({
    ...{ type: 'key-switch', streamId, previousKeyId, previousGeneration: 0, count, digest },
  });
}

/** A client and an origin that share alpha's key, and between them somebody who shares beta's with one of them. */
async function setInsider(
  way: Way,
): Promise<{ victims: Victims; insider: Insider; join: () => Promise<void> }> {
  const keys = new Keys();
  const keyring = new Keyring();
  keyring.add(keys.beta, { authorities: [BETA] });
  const insider = new Insider(way, new LocalKeeper({ keyring }));
  const victims = await setVictims(scope, { keys, meddle: insider.meddle });
  const join = () => insider.negotiate(victims.middle.wire, keys.of(BETA), BETA, way === 'up' ? 1 : 0);
  return { victims, insider, join };
}

/** A request under alpha's key, of which the first frame of the body has arrived. */
async function upload({ client, delivered, key }: Victims): Promise<MuxStream> {
  const stream = client.session.openStream(clearRequest('POST', ALPHA, '/upload'), { key: await key(ALPHA) });
  stream.write('mine,');
  await vi.waitFor(() => expect(delivered[0]?.received).toBe('mine,'));
  return stream;
}

describe('somebody on the path, with a key of his own for another host of the origin', () => {
  test('control: his key works inside the session of the two, for a stream of his own', async () => {
    const { victims, insider, join } = await setInsider('up');
    await upload(victims);
    await join();
    const { wire } = victims.middle;
    insider.silence();
    insider.seal(wire, syn(3, clearRequest('GET', BETA, '/his'), insider.keyId, true));
    await vi.waitFor(() =>
      expect(victims.delivered[1]).toMatchObject({ host: BETA, path: '/his', body: '' }),
    );
    expect(victims.sessions[0]?.key(insider.keyId)).toMatchObject({ authority: BETA });
  });

  test.each([
    ['as it was told', 2, 1],
    ['as if it had been clear', 2, 0],
    ['as if nothing had come', 0, 1],
  ])('cannot go on in a sealed request, with its past %s', async (_past, count, previous) => {
    const { victims, insider, join } = await setInsider('up');
    await upload(victims);
    await join();
    insider.silence();
    const taken = keySwitch(1, previous, count, switchDigestOf(1, []));
    insider.seal(victims.middle.wire, taken, data(1, 'FORGED', true));
    await expectKeyFailure(victims);
    expect(victims.delivered).toMatchObject([{ received: 'mine,', body: undefined }]);
  });
});

test('control: nobody takes part, and the request goes on under another key of its sender', async () => {
  const victims = await setVictims(scope);
  const stream = await upload(victims);
  stream.switchKey(await victims.key(ALPHA));
  stream.end('also mine');
  stream.resume();
  await new Promise((resolve) => stream.once('close', resolve));
  expect(victims.delivered).toMatchObject([{ body: 'mine,also mine', level: 'authenticated' }]);
  expect(victims.client.session.canOpen).toBe(true);
});

describe('somebody on the path, with a key of his own for another host at the client', () => {
  const asked = clearRequest('GET', ALPHA, '/guessable');

  /** The client has asked under alpha's key; the origin's answer does not come through. */
  async function question() {
    const set = await setInsider('down');
    const { victims, insider } = set;
    const key = await victims.key(ALPHA);
    insider.silence();
    const stream = victims.client.session.openStream(asked, { key, fin: true });
    const answers: unknown[] = [];
    stream.on('reply', (headers) => answers.push(headers));
    await vi.waitFor(() => expect(victims.delivered).toHaveLength(1));
    return { ...set, answers };
  }

  test('cannot answer a question that he can guess', async () => {
    const { victims, insider, join, answers } = await question();
    await join();
    const taken = keySwitch(1, 0, 0, switchDigestOf(1, [], syn(1, asked, 1, true)));
    const reply = encodeControl({ type: 'syn-reply', streamId: 1, fin: false, block: encodeHeaderBlock(OK) });
    insider.seal(victims.middle.wire, taken, reply, data(1, 'FORGED', true));
    await expectKeyFailure(victims);
    expect(answers).toEqual([]);
  });
});
