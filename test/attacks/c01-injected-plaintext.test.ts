import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { clearAnswer, clearData, clearRequest } from '../support/forge.ts';
import { ahead, at, behind, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import {
  ALPHA,
  codeOf,
  expectKeyFailure,
  failureOf,
  SECRET,
  setVictims,
  tell,
  type Victims,
} from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** A request that begins in the clear, and whose body goes on sealed. */
async function upload(meddle?: Meddler, algorithm: number = ALGORITHM.PSK_X25519): Promise<Victims> {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const stream = victims.client.session.openStream(clearRequest('POST', ALPHA, '/upload'));
  stream.write('clear,');
  const key = await victims.key(ALPHA, algorithm).catch(() => undefined);
  if (key === undefined) return victims;
  stream.switchKey(key);
  stream.end('sealed');
  stream.resume();
  await new Promise((resolve) => stream.once('close', resolve));
  return victims;
}

describe('C1: plaintext injected before the switch', () => {
  test('control: nobody injects anything', async () => {
    const { delivered, client } = await upload();
    expect(delivered).toMatchObject([{ body: 'clear,sealed', level: 'none' }]);
    expect(client.session.canOpen).toBe(true);
  });

  const forged = clearData(1, 'FORGED');
  const end = clearData(1, 'FORGED', true);
  const spiped = ALGORITHM.SPIPED;
  test.each<[string, Meddler, number?]>([
    ['behind the last message of the run', behind('up key-nego 0', forged)],
    ['behind the last message of a longer run', behind('up key-nego 1', forged), spiped],
    ['behind its first', behind('up key-nego 0', forged), spiped],
    ['before it', ahead('up key-nego 0', forged)],
    ['before the envelope with KEY_SWITCH', ahead('up sealed 0', forged)],
    ['before it, to end the body there', ahead('up sealed 0', end)],
    ['empty', ahead('up sealed 0', clearData(1, ''))],
    ['in the place of the victim’s', at('up data 0', () => clearData(1, 'evil!,'))],
  ])('%s: the session ends, and nothing of it gains a level', async (_where, meddle, algorithm) => {
    const victims = await upload(meddle, algorithm);
    await expectKeyFailure(victims);
    const [request] = victims.delivered;
    expect(request?.level).toBe('none');
    expect(request?.received).not.toContain('sealed');
    expect(['clear,FORGED', undefined]).toContain(request?.body); // as clear as the rest
  });

  test.each<[string, Uint8Array]>([
    ['DATA', forged],
    ['DATA that ends the body', end],
  ])('%s behind the envelope with KEY_SWITCH: not a byte is delivered', async (_what, bytes) => {
    const victims = await upload(behind('up sealed 0', bytes));
    await expectKeyFailure(victims);
    expect(victims.delivered[0]?.received).not.toContain('FORGED');
  });

  /** Whether a forged answer is taken for that of a sealed request. */
  async function ask(meddle: Meddler, path = '/', sealed = true) {
    const victims = await setVictims(scope, { meddle });
    const key = sealed ? await victims.key(ALPHA).catch(() => undefined) : undefined;
    const asked =
      sealed && key === undefined
        ? Promise.reject(new Error('no key'))
        : tell(victims.client.request({ host: ALPHA, path, key, level: 'authenticated' }));
    return { victims, asked };
  }

  const answer = clearAnswer(1, 'FORGED');
  test.each<[string, Meddler, boolean]>([
    // The stream does not exist yet, so the frames say nothing to anybody.
    ['behind the last message of the run', behind('down key-nego 0', answer), false],
    ['before the sealed answer', ahead('down sealed 0', answer), true],
    ['behind it', behind('down sealed 0', answer), true],
  ])('an answer to a sealed request, %s', async (_where, meddle, fatal) => {
    const { victims, asked } = await ask(meddle);
    const told = await asked.catch(() => undefined);
    if (fatal) await expectKeyFailure(victims);
    else expect(told?.body).toContain(SECRET);
    expect(told?.body ?? '').not.toContain('FORGED');
  });

  test.each([
    ['before the prompt', ahead('down key-nego 0', answer)],
    ['behind it', behind('down key-nego 0', answer)],
    ['before the sealed answer', ahead('down sealed 0', answer)],
  ])('an answer to a clear request that the origin answers sealed, %s', async (_where, meddle) => {
    const { asked } = await ask(meddle, '/prompt', false);
    expect(['ERR_KEYMUX_LEVEL', 'ERR_KEYMUX_KEY_FAILURE', 'ERR_KEYMUX_STREAM_RESET']).toContain(
      codeOf(await failureOf(asked)),
    );
  });

  test('control: the origin prompts, and its answer is taken', async () => {
    const { asked } = await ask(() => undefined, '/prompt', false);
    expect(await asked).toMatchObject({ level: 'authenticated', body: expect.stringContaining(SECRET) });
  });
});
