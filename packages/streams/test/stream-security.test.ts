import type { KeyInfo } from '@keymux/session';
import { describe, expect, it } from 'vitest';
import { isAsStrongAs, MuxStream, protection } from '../src/index.ts';
import { DirectionSecurity } from '../src/stream-security.ts';
import { IDLE_HOST } from './support.ts';

const BASE: KeyInfo = {
  keyId: 1,
  generation: 0,
  level: 'authenticated',
  early: false,
  algorithm: 3,
  label: 'k-1',
  authority: 'a.test',
  peer: 'psk:k-1',
  forwardSecrecy: true,
};
const key = (changes: Partial<KeyInfo> = {}): KeyInfo => ({ ...BASE, ...changes });
const ssh = (fingerprint: string): KeyInfo => key({ identity: { fingerprint, name: '[a.test]:6121' } });

/** What two parts of a direction come to together. */
function together(first: KeyInfo | undefined, second: KeyInfo | undefined) {
  const direction = new DirectionSecurity();
  for (const part of [first, second]) {
    direction.switchTo(part);
    direction.note();
  }
  return direction.together;
}

describe('what protects', () => {
  it.each([
    ['a host key', key(), 'end-to-end', { kind: 'shared-key', id: 'k-1', name: undefined }],
    ['a connection key', key({ authority: '' }), 'hop', { kind: 'shared-key', id: 'k-1', name: undefined }],
    [
      'an SSH identity',
      ssh('SHA256:x'),
      'end-to-end',
      { kind: 'ssh', id: 'SHA256:x', name: '[a.test]:6121' },
    ],
    ['an anonymous key', key({ level: 'passive', label: 'anonymous' }), 'end-to-end', undefined],
    ['a key that proves nobody yet', key({ level: 'none' }), 'end-to-end', undefined],
    ['no key', undefined, undefined, undefined],
  ] as const)('%s', (_name, info, reach, peer) => {
    expect(protection(info)).toMatchObject({ level: info?.level ?? 'none', reach, peer });
  });
});

describe('two parts together claim what both can', () => {
  it.each([
    ['level', key(), key({ level: 'passive' }), { level: 'passive', peer: undefined }],
    ['reach', key(), key({ authority: '' }), { reach: 'hop' }],
    ['forward secrecy', key(), key({ forwardSecrecy: false }), { forwardSecrecy: false }],
    ['early data', key({ early: true }), key({ generation: 1 }), { early: true, level: 'authenticated' }],
    ['peer', key(), key({ label: 'k-2' }), { peer: undefined, level: 'authenticated' }],
    ['identity', ssh('SHA256:x'), ssh('SHA256:y'), { peer: undefined }],
    ['clear', key(), undefined, { level: 'none', reach: undefined, peer: undefined, key: undefined }],
  ] as const)('%s, in either order', (_name, one, other, expected) => {
    expect(together(one, other)).toMatchObject(expected);
    expect(together(other, one)).toMatchObject(expected);
  });

  it('keep what they share', () => {
    expect(together(ssh('SHA256:x'), ssh('SHA256:x'))).toMatchObject({
      level: 'authenticated',
      reach: 'end-to-end',
      forwardSecrecy: true,
      early: false,
      peer: { id: 'SHA256:x' },
    });
  });
});

describe('what was learned under one key may travel under another', () => {
  it.each([
    ['the same', key(), key(), true],
    ['another key ID and algorithm of the same peer', key(), key({ keyId: 3, algorithm: 6 }), true],
    ['learned in the clear', undefined, key(), true],
    ['learned anonymously', key({ level: 'passive' }), key(), true],
    ['in the clear', key(), undefined, false],
    ['a lower level', key(), key({ level: 'passive' }), false],
    ['a hop only', key(), key({ authority: '' }), false],
    ['no forward secrecy', key(), key({ forwardSecrecy: false }), false],
    ['another shared key', key(), key({ label: 'k-2' }), false],
    ['another identity', ssh('SHA256:x'), ssh('SHA256:y'), false],
    ['a shared key with the name of an identity', ssh('k-1'), key(), false],
  ] as const)('%s', (_name, learned, now, expected) => {
    expect(isAsStrongAs(protection(now), protection(learned))).toBe(expected);
  });
});

it.each(['sent', 'received'] as const)('payload that travels outside is counted as it is: %s', (way) => {
  const options = { id: 1, ours: true, headers: [], payloadOutside: true, key: key() };
  const stream = new MuxStream(IDLE_HOST, options);
  stream.receiveReply([], key());
  expect(stream.security[way].level).toBe('authenticated');
  if (way === 'sent') stream.write('x');
  else stream.receiveData(Buffer.from('x'), false);
  expect(stream.security[way].level).toBe('none');
  expect(stream.security.head.level).toBe('authenticated');
  stream.destroy();
});

it('each header set keeps the protection that it came with', () => {
  const options = { id: 1, ours: true, headers: [], payloadOutside: false, key: undefined };
  const stream = new MuxStream(IDLE_HOST, options);
  const trailers: unknown[] = [];
  stream.on('headers', (_headers, protection) => trailers.push(protection));
  stream.receiveReply([], undefined);
  stream.receiveSwitch(key());
  stream.receiveHeaders([], key());
  expect(trailers).toMatchObject([{ level: 'authenticated', reach: 'end-to-end' }]);
  expect(stream.security.head.level).toBe('none');
  expect(stream.security.receiving.level).toBe('authenticated');
  expect(stream.security.received.level).toBe('none');
  stream.destroy();
});
