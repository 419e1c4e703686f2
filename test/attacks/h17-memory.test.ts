import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ALGORITHM } from '@keymux/keys';
import { afterEach, expect, test } from 'vitest';
import { startKeeper } from '../support/keeper-process.ts';
import { LeakyKeeper } from '../support/keepers.ts';
import { connectClient, keeperOf } from '../support/library.ts';
import { foundInMemory } from '../support/memory.ts';
import { Middle } from '../support/middle.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { recordedKeys } from '../support/recorded-keys.ts';
import { longTermKeys } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Has the process collect its garbage and write down its heap; returns the snapshot. */
async function heapSnapshot(process: KeymuxProcess, folder: string, turn: number): Promise<string> {
  process.kill('SIGUSR2');
  for (;;) {
    const name = (await readdir(folder)).sort().filter((file) => file.endsWith('.heapsnapshot'))[turn - 1];
    const text = name === undefined ? '' : await readFile(`${folder}/${name}`, 'utf8');
    if (text.endsWith(']}')) return text;
    await delay(20);
  }
}

test.skipIf(process.platform !== 'linux')(
  'H17: when a session is over, its keys are in no memory of the process',
  async () => {
    const file = await makeKey(scope, ALPHA);
    const folder = (await scope.directory())('.');
    const origin = await KeymuxProcess.start(scope, ['origin', '--key', `${ALPHA}=${file}`], {
      NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}`,
    });
    const middle = await Middle.start(scope, origin.port);
    const { keeper, labels } = await keeperOf({ file, authorities: [ALPHA] });
    const client = await connectClient(scope, middle.address, { keeper });
    // The algorithm whose keys the test can tell from what it has recorded.
    const request = { algorithm: ALGORITHM.PSK, label: String(labels[0]), authority: ALPHA };
    const key = await client.negotiate(request);
    await tell(client.request({ host: ALPHA, path: '/', key }));

    const keyFile = await readFile(file);
    const { S, of } = recordedKeys(middle.wire, keyFile);
    const { client: ours, server: theirs, exporter } = of(1);
    const session = { clientKey: ours.key, serverKey: theirs.key, exporter, runSecret: S };
    // Of the run secret nothing is left as soon as the keys are made.
    const names = ['clientKey', 'exporter', 'serverKey'];
    expect(await foundInMemory(origin.pid, session)).toEqual(names);

    await client.close();
    await (await connectClient(scope, origin.address)).close(); // by then it has noticed
    let snapshot = '';
    let left = names;
    // Objects without a reference are not always gone with the first collection.
    for (let turn = 1; left.length > 0 && turn <= 3; turn++) {
      snapshot = await heapSnapshot(origin, folder, turn);
      left = await foundInMemory(origin.pid, session);
    }
    expect(left).toEqual([]);
    for (const bytes of [...Object.values(session), longTermKeys(keyFile).Kpsk, keyFile]) {
      for (const text of [
        bytes.toString('latin1'),
        bytes.toString('hex'),
        bytes.toString('base64'),
        bytes.toString('base64url'),
      ]) {
        expect(snapshot.includes(text)).toBe(false);
      }
    }
  },
);

test.skipIf(process.platform !== 'linux')(
  'H17: in a session that goes on, keys that were renewed or retired are in no memory',
  async () => {
    const file = await makeKey(scope, ALPHA);
    const folder = (await scope.directory())('.');
    const origin = await KeymuxProcess.start(scope, ['origin', '--key', `${ALPHA}=${file}`], {
      NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}`,
    });
    const { keeper, labels } = await keeperOf({ file, authorities: [ALPHA] });
    const keys: Record<string, Uint8Array> = {};
    const client = await connectClient(scope, origin.address, {
      keeper,
      keyLog: ({ keyId, generation }, entry) => {
        const { from, key } = entry();
        keys[`${keyId}.${generation} ${from}`] = Uint8Array.from(key);
      },
    });
    const { session } = client;
    const request = { algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority: ALPHA };
    const key = await client.negotiate(request);
    await tell(client.request({ host: ALPHA, path: '/', key }));
    expect(await foundInMemory(origin.pid, keys)).toEqual(['1.0 client', '1.0 server']);

    await session.renegotiate(key);
    await tell(client.request({ host: ALPHA, path: '/', key })); // both directions have moved by then
    const retired = once(session, 'retired');
    const next = await session.negotiate({ ...request, replaces: key });
    await retired;
    await tell(client.request({ host: ALPHA, path: '/', key: next }));
    expect(Object.keys(keys)).toHaveLength(6);
    let left: string[] = [];
    let snapshot = '';
    for (let turn = 1; turn <= 3 && left.length !== 2; turn++) {
      snapshot = await heapSnapshot(origin, folder, turn);
      left = await foundInMemory(origin.pid, keys);
    }
    expect(left).toEqual(['3.0 client', '3.0 server']); // which the session seals with now
    for (const bytes of Object.values(keys)) {
      const text = Buffer.from(bytes);
      for (const form of [text.toString('latin1'), text.toString('hex'), text.toString('base64')])
        expect(snapshot.includes(form)).toBe(false);
    }
  },
);

test.skipIf(process.platform !== 'linux')(
  'H17: an origin with a keeper never has a long-term key; of run secrets that crossed, neither process keeps one',
  async () => {
    const folder = (await scope.directory())('.');
    const keeper = await startKeeper(scope);
    const origin = await KeymuxProcess.start(
      scope,
      ['origin', '--host', ALPHA, '--keeper', `unix:${keeper.path}`],
      { NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}` },
    );
    const { keeper: own, labels } = await keeperOf({ file: keeper.files.alpha, authorities: [ALPHA] });
    const leaky = new LeakyKeeper(own);
    const client = await connectClient(scope, origin.address, { keeper: leaky });
    for (const algorithm of [ALGORITHM.PSK, ALGORITHM.SPIPED, ALGORITHM.PSK_X25519, ALGORITHM.HYBRID]) {
      const key = await client.negotiate({ algorithm, label: String(labels[0]), authority: ALPHA });
      await tell(client.request({ host: ALPHA, path: '/', key }));
    }
    const file = await readFile(keeper.files.alpha);
    const { K, Kpsk } = longTermKeys(file);
    const longTerm = { file, K, Kpsk };
    const secrets = Object.fromEntries(leaky.secrets.map((hex, index) => [index, Buffer.from(hex, 'hex')]));
    expect(Object.keys(secrets)).toHaveLength(5); // ALG 1 has one for early data
    // Each finds something, which shows that its memory was searched.
    expect(await foundInMemory(keeper.process.pid, { ...longTerm, ...secrets })).toEqual(['K', 'Kpsk']);
    expect(await foundInMemory(origin.pid, { ...longTerm, control: ALPHA })).toEqual(['control']);

    await client.close();
    // By then it has noticed. What Node itself may keep of the last thing that was read or computed is of this session, then.
    const next = await connectClient(scope, origin.address, { keeper: own });
    const request = { algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority: ALPHA };
    await tell(next.request({ host: ALPHA, path: '/', key: await next.negotiate(request) }));
    await next.close();
    let left = Object.keys(secrets);
    for (let turn = 1; left.length > 0 && turn <= 3; turn++) {
      const snapshot = await heapSnapshot(origin, folder, turn);
      for (const bytes of [...Object.values(longTerm), ...Object.values(secrets)])
        for (const form of ['latin1', 'hex', 'base64', 'base64url'] as const)
          expect(snapshot.includes(bytes.toString(form))).toBe(false);
      left = await foundInMemory(origin.pid, { ...longTerm, ...secrets });
    }
    expect(left).toEqual([]);
  },
);
