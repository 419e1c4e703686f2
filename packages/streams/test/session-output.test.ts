import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { FrameDecoder } from '@keymux/frames';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { describe, expect, it } from 'vitest';
import { MuxSession } from '../src/index.ts';

const HEADERS = [[':method', 'GET']] as const;

/** A carrier that a test brings bytes to by `push`, and the types of the frames of each write to it. */
function record(): { carrier: Duplex; writes: string[][] } {
  const writes: string[][] = [];
  const decoder = new FrameDecoder({ place: 'outside', sealed: true });
  const take = (bytes: Uint8Array, done: () => void): void => {
    decoder.push(bytes);
    const types: string[] = [];
    for (let item = decoder.next(); item !== undefined; item = decoder.next())
      types.push(item.kind === 'control' ? item.frame.type : item.kind);
    writes.push(types);
    done();
  };
  const carrier = new Duplex({
    read: () => undefined,
    write: (chunk, _encoding, done) => take(chunk, done),
    writev: (chunks, done) => take(Buffer.concat(chunks.map(({ chunk }) => chunk)), done),
  });
  return { carrier, writes };
}

/** A client with a key that needs no answer of the peer. */
async function keyed() {
  const keyring = new Keyring();
  const label = keyring.add(new PreSharedKey(Buffer.alloc(32, 7)), { authorities: [''] });
  const { carrier, writes } = record();
  const session = new MuxSession(carrier, { role: 'client', keeper: new LocalKeeper({ keyring }) });
  const key = await session.negotiate({ algorithm: ALGORITHM.PSK, label, early: true });
  return { writes, session, key };
}

/** The next error that nobody catches, in the place of those who would end the process for it. */
async function uncaught(): Promise<Error> {
  const listeners = process.rawListeners('uncaughtException') as (() => void)[];
  process.removeAllListeners('uncaughtException');
  try {
    return (await once(process, 'uncaughtException'))[0];
  } finally {
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
}

describe('what a session says', () => {
  it('goes out although somebody who is told of it throws, and the process goes on', async () => {
    const { writes, session, key } = await keyed();
    const stream = session.openStream(HEADERS, { key });
    const told = uncaught();
    stream.write('one', () => {
      throw new Error('of whoever was told');
    });
    expect((await told).message).toBe('of whoever was told');
    stream.write('two');
    await setImmediate();
    expect(writes.flat().filter((type) => type === 'sealed')).toHaveLength(2);
    session.destroy();
  });
});
