import { chmod, writeFile } from 'node:fs/promises';
import {
  ALGORITHM,
  Identities,
  Keyring,
  KnownHostsFile,
  LocalKeeper,
  SIGNED_LABEL,
  type Trust,
} from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { identified, PEER_NAME } from '../support/identified.ts';
import { connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

type Source = NonNullable<Trust['knownHosts']>;

/** Alice with another known_hosts meets the right host. */
async function meet(knownHosts: (right: string) => Source | Promise<Source>) {
  const { who, victims } = await identified(scope);
  const identities = new Identities();
  const source = await knownHosts(`[${ALPHA}]:6121 ${who.host.line}`);
  identities.add(who.alice.signer, { authorities: [ALPHA], trust: { knownHosts: source } });
  const client = await connectClient(scope, victims.middle.address, {
    keeper: new LocalKeeper({ keyring: new Keyring(), identities }),
    peerName: PEER_NAME,
  });
  const asked = client.negotiate({ algorithm: ALGORITHM.SIGNED, label: SIGNED_LABEL, authority: ALPHA });
  return {
    who,
    failure: await failureOf(asked),
    wire: victims.middle.wires.at(-1),
    key: client.session.key(1),
  };
}

async function file(content: string | Uint8Array, mode = 0o600): Promise<Source> {
  const path = (await scope.directory())('known_hosts');
  await writeFile(path, content);
  await chmod(path, mode); // whatever the umask
  return new KnownHostsFile(path);
}

const faulty = (load: () => unknown): Source => ({ name: 'faulty', load: async () => load() as never });

describe('H12: known_hosts that fails open', () => {
  test('control: the right line', async () => {
    const { failure, key } = await meet((right) => file(`${right}\n`));
    expect(failure).toBeUndefined();
    expect(key).toMatchObject({ level: 'authenticated' });
  });

  test.each<[string, (right: string) => Source | Promise<Source>]>([
    [
      'loading throws',
      () =>
        faulty(() => {
          throw new Error('disk');
        }),
    ],
    ['loading gives nothing', () => faulty(() => undefined)],
    ['loading gives a text', (right) => faulty(() => right)],
    ['loading gives true', () => faulty(() => true)],
    [
      'the lookup throws',
      () =>
        faulty(() => ({
          check: () => {
            throw new Error('lookup');
          },
        })),
    ],
    ['the lookup answers nothing', () => faulty(() => ({ check: () => undefined }))],
    ['the lookup answers true', () => faulty(() => ({ check: () => true }))],
    ['the lookup answers 0, the success of C', () => faulty(() => ({ check: () => 0 }))],
    ['the lookup promises true', () => faulty(() => ({ check: () => Promise.resolve(true) }))],
    ['the lookup answers something new', () => faulty(() => ({ check: () => ({ kind: 'matched' }) }))],
    ['the lookup has no answer', () => faulty(() => ({}))],
    ['the host is unknown', () => file('')],
    ['the line is of another host', (right) => file(`${right.replace(ALPHA, 'beta.test')}\n`)],
    ['the line is of another port', (right) => file(`${right.replace('6121', '6122')}\n`)],
    ['the line is negated', (right) => file(`![${ALPHA}]:6121,${right}\n`)],
    [
      'the key is revoked in another line',
      (right) => file(`${right}\n@revoked * ${right.split(' ').slice(1).join(' ')}\n`),
    ],
    ['the line says that it is a certificate authority', (right) => file(`@cert-authority ${right}\n`)],
    ['the line has an unknown marker', (right) => file(`@trusted ${right}\n`)],
    ['the key is cut off', (right) => file(`${right.slice(0, -8)}\n`)],
    [
      'one bit of the key is another',
      (right) => file(`${right.slice(0, -2)}${right.at(-2) === 'A' ? 'B' : 'A'}${right.at(-1)}\n`),
    ],
    ['another line is damaged', (right) => file(`${right}\nbeta.test ssh-ed25519 !!!\n`)],
    ['the file is binary', () => file(Buffer.alloc(1000, 0xff))],
    ['others can write the file', (right) => file(`${right}\n`, 0o666)],
    ['the file is a directory', async () => new KnownHostsFile((await scope.directory())('.'))],
  ])('%s: the host is not trusted, and does not learn who asks', async (_what, knownHosts) => {
    const { failure, key, wire, who } = await meet(knownHosts);
    expect(failure).toBeDefined();
    expect(key).toBeUndefined();
    expect(wire?.sent('up', 'key-nego')).toHaveLength(1);
    expect(who.alice.asked).toEqual([]);
  });

  test('what is known of a host does not show in what is offered to it', async () => {
    const first = await meet((right) => file(`${right}\n`));
    const second = await meet(() => file(''));
    const [known, unknown] = [first, second].map(({ wire }) => wire?.sent('up', 'key-nego')[0]?.bytes);
    expect(known?.length).toBe(unknown?.length);
    expect(known?.subarray(0, -32)).toEqual(unknown?.subarray(0, -32)); // all but the public value
  });
});
