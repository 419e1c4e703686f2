import type { KeyInfo } from '@keymux/session';
import { type MuxStream, protection } from '@keymux/streams';
import { expect, it } from 'vitest';
import { HostMemory, HostPolicy } from '../src/index.ts';
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
  for (const [weak, remedy] of [
    [undefined, 'ask under a key of the host'],
    [{ ...KEY, level: 'passive' }, 'ask its operator'],
  ] as const) {
    expect(() => guard.checkAnswer(answer(weak))).toThrow(
      expect.objectContaining({
        code: 'ERR_KEYMUX_LEVEL',
        part: 'answer',
        message: expect.stringMatching(
          `required by the policy for all hosts; it was not used\\. .*${remedy}`,
        ),
      }),
    );
  }
});

// CVE-2022-30115: a dot at the end made curl forget what the host had demanded.
it('a dot at the end of the host escapes neither policy nor memory', async () => {
  const policy = new HostPolicy({ hosts: { [HOST]: 'authenticated' } });
  const memory = HostMemory.inMemory();
  await memory.learn(HOST, [['keymux-level', 'authenticated; max-age=86400']], protection(KEY));
  for (const options of [{ policy }, { memory }]) {
    for (const host of [`${HOST}.`, `${HOST}.:80`, `${HOST.toUpperCase()}.`]) {
      expect(() => new RequestGuard({ host }, options).checkRequest()).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_LEVEL' }),
      );
      expect(() => new RequestGuard({ host, key: KEY }, options).checkRequest()).not.toThrow();
    }
  }
});
