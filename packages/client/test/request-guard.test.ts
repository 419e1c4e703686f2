import type { KeyInfo } from '@keymux/session';
import { type MuxStream, protection } from '@keymux/streams';
import { expect, it } from 'vitest';
import { HostPolicy } from '../src/index.ts';
import { RequestGuard } from '../src/request-guard.ts';

const HOST = 'a.test';
const KEY: KeyInfo = {
  ...{ keyId: 1, generation: 0, level: 'authenticated', early: false, algorithm: 3, label: 'k' },
  ...{ authority: HOST, peer: 'psk:k', forwardSecrecy: true },
};

// A session lets no answer through that is weaker than its request (spec 4.5). This is the second lock on that door.
it('what is required of a host holds for the answer, whatever the request says', () => {
  const policy = new HostPolicy({ default: 'authenticated' });
  const guard = new RequestGuard({ host: HOST, key: KEY, level: 'none' }, { policy });
  const answer = (key: KeyInfo | undefined) => {
    const how = protection(key);
    return { security: { received: how, receiving: how } } as MuxStream;
  };
  expect(() => guard.checkRequest()).not.toThrow();
  expect(() => guard.checkAnswer(answer(KEY))).not.toThrow();
  for (const weak of [undefined, { ...KEY, level: 'passive' } as const]) {
    expect(() => guard.checkAnswer(answer(weak))).toThrow(
      expect.objectContaining({
        code: 'ERR_KEYMUX_LEVEL',
        part: 'answer',
        message: expect.stringMatching(/required by the policy for all hosts; it was not used/),
      }),
    );
  }
});
