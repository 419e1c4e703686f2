import { text } from 'node:stream/consumers';
import type { KeyInfo } from '@keymux/session';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearRequest } from '../support/forge.ts';
import { bodyOf, connectClient, keeperOf } from '../support/library.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { type Stage, setStage } from '../support/stage.ts';
import { makeKey } from '../support/tunnel.ts';
import { readCapture, readDirection, Wiretap } from '../support/wiretap.ts';

const SPIPED = 2;
const ALPHA = 'alpha.test';
const BETA = 'beta.test';
const shared = new Scope();
const scope = new Scope();
let stage: Stage;
beforeAll(async () => {
  stage = await setStage(shared);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

describe('keys of hosts', () => {
  test('a key speaks for its own host: a request for another under it gets 421', async () => {
    const { origin, keys, secret } = stage;
    const { keeper, labels } = await keeperOf({ file: keys.alpha, authorities: [ALPHA] });
    const client = await connectClient(scope, origin.address, { keeper });
    const key = await client.negotiate({ algorithm: SPIPED, label: String(labels[0]), authority: ALPHA });
    const ask = (host: string) =>
      client.session.openStream(clearRequest('GET', host, '/account'), { key, fin: true });
    for (const host of [BETA, 'gamma.test']) {
      const wrong = ask(host);
      expect(await text(wrong)).not.toContain(secret);
      expect(wrong.replyHeaders?.[0]?.[1]).toMatch(/^421/);
    }
    const right = await client.request({ host: ALPHA, path: '/account', key });
    expect([right.status, right.security.level]).toEqual([200, 'authenticated']);
    expect(await bodyOf(right)).toContain(secret);
  });

  test('two hosts on one session: each answer comes under the key of its host', async () => {
    const { origin, keys } = stage;
    const { keeper, labels } = await keeperOf(
      { file: keys.alpha, authorities: [ALPHA] },
      { file: keys.beta, authorities: [BETA] },
    );
    const client = await connectClient(scope, origin.address, { keeper });
    const made = await Promise.all(
      [ALPHA, BETA].map((authority, index) =>
        client.negotiate({ algorithm: SPIPED, label: String(labels[index]), authority }),
      ),
    );
    expect(made.map(({ keyId }) => keyId)).toEqual([1, 3]);
    const answers = await Promise.all(
      made.map((key) => client.request({ host: key.authority, path: '/account', key })),
    );
    expect(answers.map(({ security }) => security.received.key?.authority)).toEqual([ALPHA, BETA]);
  });

  test('S6: clear and sealed streams side by side on one session', async () => {
    const { origin, keys, secret } = stage;
    const tap = await Wiretap.start(scope, origin.port);
    const { keeper, labels } = await keeperOf({ file: keys.alpha, authorities: [ALPHA] });
    const client = await connectClient(scope, tap.address, { keeper });
    const key = await client.negotiate({ algorithm: SPIPED, label: String(labels[0]), authority: ALPHA });
    const ask = async (under: KeyInfo | undefined) => {
      const path = under ? '/account' : '/';
      const answer = await client.request({ host: ALPHA, path, key: under });
      return { level: answer.security.level, body: await bodyOf(answer) };
    };
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => ask(index % 2 ? key : undefined)),
    );
    for (const [index, { level, body }] of answers.entries()) {
      expect(level).toBe(index % 2 ? 'authenticated' : 'none');
      expect(body).toContain(index % 2 ? secret : 'public page');
    }
    expect(tap.sees('The public page of alpha.test')).toBe(true);
    expect(tap.sees(secret)).toBe(false);
    const { up, down } = readCapture(tap.only);
    expect(up.opened).toHaveLength(20);
    expect(up.opened.every((id) => id % 2 === 1)).toBe(true);
    expect(down.frames.filter((type) => type === 'syn-reply')).toHaveLength(20);
    expect(down.frames).toContain('sealed:1');
  });

  test('426: the host demands sealing, and the client has announced no keys', async () => {
    const args = ['origin', '--key', `${ALPHA}=${stage.keys.alpha}`, '--sealed'];
    const origin = await KeymuxProcess.start(scope, args, { KEYMUX_SECRET: stage.secret });
    const client = await connectClient(scope, origin.address);
    for (const path of ['/', '/account', '/login']) {
      const answer = await client.request({ host: ALPHA, path });
      expect(answer.status).toBe(426);
      expect(await bodyOf(answer)).not.toContain(stage.secret);
    }
    const requests = await origin.atLeast(3, 'request');
    expect(requests).toMatchObject([{ status: 426 }, { status: 426 }, { status: 426 }]);
  });
});

describe('what goes wrong with a key looks the same from outside', () => {
  const failures = ['wrong key', 'unknown label', 'label of another host'] as const;

  /** What the client receives when it asks for a key that it cannot get. */
  async function refusal(failure: (typeof failures)[number], algorithm: number): Promise<Buffer> {
    const { origin, keys } = stage;
    const right = await keeperOf({ file: keys.alpha, authorities: [ALPHA] });
    const stranger = await makeKey(scope);
    const authorities = [ALPHA];
    const use = {
      'wrong key': { file: stranger, authorities, label: String(right.labels[0]) },
      'unknown label': { file: stranger, authorities },
      'label of another host': { file: keys.beta, authorities },
    }[failure];
    const { keeper, labels } = await keeperOf(use);
    const tap = await Wiretap.start(scope, origin.port);
    const client = await connectClient(scope, tap.address, { keeper });
    const asked = client.negotiate({ algorithm, label: String(labels[0]), authority: ALPHA });
    await expect(asked).rejects.toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    await client.session.closed;
    return tap.only.down;
  }

  test('psk: the same bytes', async () => {
    const [first, ...others] = await Promise.all(failures.map((failure) => refusal(failure, 1)));
    expect(first?.toString('hex')).toMatch(/80030007000000080000000000004b01$/); // GOAWAY KEY_FAILURE, then nothing
    for (const other of others) expect(other.equals(first as Buffer)).toBe(true);
  });

  test('spiped: the same frames of the same lengths, the same message at the end', async () => {
    const received = await Promise.all(failures.map((failure) => refusal(failure, 2)));
    for (const bytes of received) {
      const { frames } = readDirection(bytes);
      expect(frames.slice(-2)).toEqual(['key-nego', 'goaway:19201']);
      expect(bytes.length).toBe(received[0]?.length);
    }
  });

  test('only the log of the origin says what it was', async () => {
    await refusal('wrong key', 1);
    await refusal('unknown label', 1);
    const logged = (): string =>
      stage.origin
        .all('session-end')
        .map(({ error }) => String(error))
        .join('\n');
    await expect.poll(logged).toContain('does not hold the same key');
    await expect.poll(logged).toContain('not configured here');
  });
});
