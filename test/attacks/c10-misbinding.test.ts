import type { Client } from '@keymux/client';
import { fingerprint, type KeyInfo } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { type IdentifiedOptions, identified, PEER_NAME } from '../support/identified.ts';
import { connectClient } from '../support/library.ts';
import { at, flipped, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, KEY_FAILURE, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const both = ({ alice, mallory }: { alice: { line: string }; mallory: { line: string } }): string =>
  `${alice.line} alice\n${mallory.line} mallory`;

/** What each side takes the other for; undefined where there is no key. */
async function meet(options: IdentifiedOptions = {}) {
  const met = await identified(scope, { authorizedKeys: both, ...options });
  const failure = await failureOf(
    met.negotiate().then((key) => tell(met.victims.client.request({ host: ALPHA, path: '/', key }))),
  );
  const origin = met.victims.sessions[0]?.key(1);
  return { ...met, failure, atClient: met.victims.client.session.key(1), atOrigin: origin };
}

describe('C10: identity misbinding', () => {
  test('control: each side takes the other for who it is', async () => {
    const { who, failure, atClient, atOrigin } = await meet();
    expect(failure).toBeUndefined();
    expect((atClient as KeyInfo).peer).toContain(fingerprint(who.host.signer.identity));
    expect((atOrigin as KeyInfo).peer).toContain(fingerprint(who.alice.signer.identity));
    expect((atOrigin as KeyInfo).peer).toContain('(alice)');
  });

  test('the attacker puts the proof of a run of his own into Alice’s', async () => {
    // He is let in under his own name, and wants Alice's session to count as his.
    const { who, victims, keeper, negotiate } = await identified(scope, {
      authorizedKeys: both,
      meddle: at('up key-nego 1', ({ bytes }, wire) => {
        const first = wires()[0];
        if (first === wire) return undefined;
        return first?.sent('up', 'key-nego')[1]?.bytes ?? bytes;
      }),
    });
    const wires = () => victims.middle.wires;
    const mallory: Client = await connectClient(scope, victims.middle.address, {
      keeper: keeper(who.mallory.signer),
      peerName: PEER_NAME,
    });
    // The first wire is Alice's; hers is complete when Mallory's run takes her proof, and his are then without effect.
    await negotiate();
    await failureOf(negotiate(mallory).then((key) => tell(mallory.request({ host: ALPHA, path: '/', key }))));
    expect(await victims.sessions[1]?.closed).toMatchObject({ code: KEY_FAILURE });
    expect(victims.sessions[1]?.key(1)).toBeUndefined();
    expect(victims.delivered).toEqual([]);
  });

  const places = (['down key-nego 0', 'up key-nego 1'] as const).flatMap((frame) =>
    Array.from({ length: 9 }, (_, step) => [frame, -1 - 17 * step] as const),
  );
  test.each(places)('%s with byte %d changed: nobody takes anybody for anything', async (frame, index) => {
    const meddle: Meddler = at(frame, ({ bytes }) => flipped(bytes, index, 0x80));
    const { failure, atOrigin, victims } = await meet({ meddle });
    expect(failure).toBeDefined();
    await expectKeyFailure(victims);
    expect(atOrigin).toBeUndefined();
    expect(victims.delivered).toEqual([]);
  });

  test.each<[string, IdentifiedOptions]>([
    ['the attacker answers as himself', { originSigner: ({ mallory }) => mallory.signer }],
    [
      'he is known as another host',
      {
        originSigner: ({ mallory }) => mallory.signer,
        knownHosts: ({ host, mallory }) => `[${ALPHA}]:6121 ${host.line}\n[other.test]:6121 ${mallory.line}`,
      },
    ],
    ['he answers with Alice’s own identity', { originSigner: ({ alice }) => alice.signer }],
    [
      'he claims the host’s identity, and signs with his own key',
      {
        originSigner: ({ host, mallory }) => ({
          ...mallory.signer,
          identity: host.signer.identity,
        }),
      },
    ],
  ])('%s: the client refuses, and does not say who it is', async (_what, options) => {
    const { failure, atClient, atOrigin, victims, who } = await meet(options);
    expect(failure).toBeDefined();
    expect([atClient, atOrigin]).toEqual([undefined, undefined]);
    expect(victims.middle.wire.sent('up', 'key-nego')).toHaveLength(1);
    expect(who.alice.asked).toHaveLength(options.originSigner?.(who) === who.alice.signer ? 1 : 0);
  });

  test.each<[string, IdentifiedOptions]>([
    [
      'somebody claims Alice’s identity, and signs with his own key',
      {
        clientSigner: ({ alice, mallory }) => ({ ...mallory.signer, identity: alice.signer.identity }),
      },
    ],
    [
      'somebody who is not listed',
      { clientSigner: ({ mallory }) => mallory.signer, authorizedKeys: ({ alice }) => alice.line },
    ],
    ['the host itself', { clientSigner: ({ host }) => host.signer }],
  ])('%s: the origin lets nobody in', async (_what, options) => {
    const { failure, atOrigin, victims } = await meet(options);
    expect(failure).toBeDefined();
    await expectKeyFailure(victims);
    expect(atOrigin).toBeUndefined();
    expect(victims.delivered).toEqual([]);
  });
});
