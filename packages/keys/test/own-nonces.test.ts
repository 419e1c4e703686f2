import { describe, expect, it } from 'vitest';
import { ALGORITHM, type LocalKeeper, type RunContext, type Step } from '../src/index.ts';
import { encodeNego } from '../src/nego-frame.ts';
import { CLOCK, keeperOf } from './link.ts';
import { METHODS } from './methods.ts';

const others = METHODS.filter(({ algorithm }) => algorithm !== ALGORITHM.PSK); // which remembers all first messages

describe.each(others)('C9: an own first message, $name', ({ algorithm, label }) => {
  const context = { initiator: 'client', depth: 0, keyId: 1, generation: 0, algorithm } as const;
  const start = (keeper: LocalKeeper): Promise<Step> =>
    keeper.start({ ...context, role: 'initiator' }, { offer: 1 << algorithm, label, authority: '' });
  const accept = (keeper: LocalKeeper, { send }: Step): Promise<Step> => {
    const { data, fin } = send as NonNullable<Step['send']>;
    return keeper.accept({ ...context, role: 'responder' }, frame(context, data, fin));
  };

  it('is refused while its run goes on', async () => {
    const keeper = keeperOf('client');
    const first = await start(keeper);
    await expect(accept(keeper, first)).rejects.toMatchObject({ reason: 'own-message' });
  });

  it.each(['been given up', 'failed', 'gone on for too long'])(
    'is nothing to remember when its run has %s',
    async (how) => {
      let now = CLOCK;
      const keeper = keeperOf('client', { clock: () => now });
      const first = await start(keeper);
      if (how === 'been given up') keeper.abandon(first.run);
      else if (how === 'failed') {
        const wrong = keeper.receive(first.run, frame(context, new Uint8Array(1), true));
        await expect(wrong).rejects.toMatchObject({ scope: 'session' });
      } else {
        now += 10_001;
        await start(keeper); // expired runs are forgotten when others begin
      }
      expect((await accept(keeper, first)).send).toBeDefined();
    },
  );
});

function frame(
  { keyId, algorithm }: Pick<RunContext, 'keyId' | 'algorithm'>,
  data: Uint8Array,
  fin: boolean,
) {
  return encodeNego({ keyId, algorithm, fin, reject: false, retire: false, data });
}
