import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { encodeKeyNego } from '@keymux/frames';
import { ALGORITHM, type Keeper, type RunContext, type Step } from '@keymux/keys';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HELLO } from '../support/keeper-messages.ts';
import { type KeeperProcess, startKeeper } from '../support/keeper-process.ts';
import { keeperOf } from '../support/library.ts';
import { connectKeeper, frameOf, RawCaller } from '../support/remote-keepers.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, codeOf, failureOf, Keys } from '../support/victims.ts';

/** A worker that holds no long-term key, and asks the keeper for what it should not get. */
const METHODS = [
  ['psk', ALGORITHM.PSK],
  ['spiped', ALGORITHM.SPIPED],
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['hybrid', ALGORITHM.HYBRID],
] as const;

describe.each(METHODS)('C15: oracle in the key process, %s', (_name, algorithm) => {
  const keys = new Keys();
  const context: RunContext = {
    role: 'initiator',
    initiator: 'client',
    depth: 0,
    keyId: 1,
    generation: 0,
    algorithm,
  };
  const asResponder: RunContext = { ...context, role: 'responder' };
  const offer = { offer: 1 << algorithm, label: keys.of(ALPHA), authority: ALPHA };
  const last = algorithm !== ALGORITHM.SPIPED;
  const frame = ({ send }: Step, keyId = 1): Uint8Array =>
    encodeKeyNego({
      type: 'key-nego',
      ...{ keyId, algorithm, fin: send?.fin ?? false, reject: false, retire: false },
      data: send?.data ?? new Uint8Array(0),
    });
  const start = (keeper: Keeper) => keeper.start(context, offer);

  test('control: two keepers make a key', async () => {
    const [ours, theirs] = [keys.keeper(), keys.keeper()];
    const first = await start(ours);
    const second = await theirs.accept(asResponder, frame(first));
    const third = await ours.receive(first.run, frame(second));
    expect(third.secrets.length + first.secrets.length).toBeGreaterThanOrEqual(last ? 1 : 0);
  });

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['bytes of its choice', randomBytes(32)],
    [
      'bytes of its choice, as a frame',
      encodeKeyNego({
        type: 'key-nego',
        keyId: 1,
        algorithm,
        fin: last,
        reject: false,
        retire: false,
        data: randomBytes(200),
      }),
    ],
  ])('it processes no %s', async (_what, bytes) => {
    const keeper = keys.keeper();
    expect(codeOf(await failureOf(keeper.accept(asResponder, bytes)))).toMatch(
      /^ERR_KEYMUX_KEY_(?:FAILURE|USAGE)$/,
    );
    const { run } = await start(keeper);
    expect(codeOf(await failureOf(keeper.receive(run, bytes)))).toMatch(/^ERR_KEYMUX_KEY_(?:FAILURE|USAGE)$/);
  });

  test.each<[string, string]>([
    ['a host that the key does not speak for', BETA],
    ['the peer itself', ''],
  ])('it makes no key for %s', async (_what, authority) => {
    expect(await failureOf(keys.keeper().start(context, { ...offer, authority }))).toMatchObject({
      scope: 'usage',
    });
  });

  test.each<[string, Partial<RunContext>]>([
    ['another depth', { depth: 1 }],
    ['another key ID', { keyId: 3 }],
    ['a run of the other side', { initiator: 'server', keyId: 2 }],
    ['another generation', { generation: 1 }],
    ['a key ID of the wrong parity', { keyId: 2 }],
    ['key ID 0', { keyId: 0 }],
    ['a key ID beyond 8 bits', { keyId: 257 }],
    ['the other role', { role: 'initiator' }],
  ])('it answers no message as one of %s', async (_what, changed) => {
    const first = await start(keys.keeper());
    const attempt = keys.keeper().accept({ ...asResponder, ...changed }, frame(first));
    const step = await attempt.catch((error: Error) => error);
    // spiped's first message proves nothing yet; what is then made differs, so it brings the worker nothing.
    if (step instanceof Error) expect(codeOf(step)).toMatch(/^ERR_KEYMUX_KEY_(?:FAILURE|USAGE)$/);
    else expect([algorithm, step.secrets]).toEqual([ALGORITHM.SPIPED, []]);
  });

  test('it goes on with a run once only, and with none of somebody else', async () => {
    const [ours, theirs] = [keys.keeper(), keys.keeper()];
    const first = await start(ours);
    const answer = frame(await theirs.accept(asResponder, frame(first)));
    await ours.receive(first.run, answer);
    for (const run of [first.run, first.run + 1, -1, Number.NaN]) {
      expect(await failureOf(ours.receive(run, answer))).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    }
  });

  test('it shows nothing of its keys', () => {
    const shown = JSON.stringify(keys.keeper());
    expect(shown).not.toMatch(/[0-9a-f]{32}/);
  });
});

describe('C15: the keeper in a process of its own, and a worker that was taken over', () => {
  const scope = new Scope();
  let keeper: KeeperProcess;
  beforeAll(async () => {
    keeper = await startKeeper(scope);
  });
  afterAll(() => scope.close());

  const algorithm = ALGORITHM.PSK;
  const side = { initiator: 'client', depth: 0, keyId: 1, generation: 0, algorithm } as const;
  const initiator: RunContext = { role: 'initiator', ...side };
  const responder: RunContext = { role: 'responder', ...side };
  const offer = () => ({ offer: 1 << algorithm, label: keeper.labels.alpha, authority: ALPHA });

  test.each(['sign', 'decrypt', 'derive', 'key', 'exportKey', 'list', 'constructor'])(
    'there is no request to %s',
    async (type) => {
      for (const fields of [{}, { id: 1 }, { id: 1, label: keeper.labels.alpha, data: 'x' }]) {
        const worker = await RawCaller.connect(scope, keeper.path);
        worker.send(HELLO);
        await worker.reply(0);
        worker.send({ type, ...fields }, randomBytes(32));
        await worker.closed;
        expect(worker.replies).toHaveLength(1);
      }
    },
  );

  test('a worker of another host begins and answers nothing, and cannot tell that there is a key', async () => {
    const worker = await connectKeeper(scope, keeper.alphaPath);
    const beta = { ...offer(), label: keeper.labels.beta, authority: BETA };
    const nobody = { ...beta, label: 'k-0000000000000000' };
    const failures = [beta, nobody].map((asked) => failureOf(worker.start(initiator, asked)));
    const [known, unknown] = await Promise.all(failures);
    expect(known).toMatchObject({ code: 'ERR_KEYMUX_KEY_UNKNOWN', scope: 'usage' });
    expect(known).toEqual(unknown);
    // The peer's message is right; another worker could answer it.
    const whole = await connectKeeper(scope, keeper.path);
    const first = frameOf(await whole.start(initiator, beta), algorithm);
    expect(await failureOf(worker.accept(responder, first))).toMatchObject({ reason: 'unknown-label' });
  });

  test('a nonce for the second time: of a peer, and its own', async () => {
    const [worker, another] = [
      await connectKeeper(scope, keeper.path),
      await connectKeeper(scope, keeper.alphaPath),
    ];
    const own = frameOf(await worker.start(initiator, offer()), algorithm);
    expect(await failureOf(another.accept(responder, own))).toMatchObject({ reason: 'replay' });
    const { keeper: peer } = await keeperOf({ file: keeper.files.alpha, authorities: [ALPHA] });
    const first = frameOf(await peer.start(initiator, offer()), algorithm);
    expect((await worker.accept(responder, first)).secrets).toHaveLength(2);
    for (const again of [worker, another]) {
      expect(await failureOf(again.accept(responder, first))).toMatchObject({ reason: 'replay' });
    }
  });

  test('all of it is in the log', async () => {
    const entries = (await readFile(keeper.auditLog, 'utf8')).trim().split('\n');
    expect(entries.filter((line) => line.includes('"violation"')).length).toBeGreaterThanOrEqual(21);
    expect(entries.filter((line) => line.includes('accepted before')).length).toBe(3);
  });
});
