import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ascii } from '../src/bytes.ts';
import { AuthorizedKeys } from '../src/identity/authorized-keys.ts';
import { KnownHosts, type PeerName } from '../src/identity/known-hosts.ts';
import { SignedData } from '../src/identity/sshsig.ts';
import { type PeerExpectation, PeerVerified } from '../src/identity/trust.ts';
import {
  AuthorizedKeysFile,
  formatPublicKey,
  Identities,
  KnownHostsFile,
  type Trust,
  UnknownHostError,
} from '../src/index.ts';
import { CLOCK } from './link.ts';
import { temporaryFolder } from './openssh.ts';
import { signerOf } from './signers.ts';

const folder = temporaryFolder();
const peer = signerOf('peer');
const self = signerOf('self');
const SIGNED = SignedData.of(ascii('a run'));
const NAME: PeerName = { host: 'A.example', port: 6121 };
const KEY = formatPublicKey(peer.identity);

const CLIENT: PeerExpectation = {
  side: 'client',
  ownIdentity: self.identity,
  authority: '',
  peerName: NAME,
  now: CLOCK,
};
const SERVER: PeerExpectation = {
  side: 'server',
  ownIdentity: self.identity,
  authority: '',
  peerAddress: '192.0.2.7',
  now: CLOCK,
};

const hosts = (text: string): Trust => ({
  knownHosts: { name: 'kh', load: async () => new KnownHosts(text) },
});
const keys = (text: string): Trust => ({
  authorizedKeys: { name: 'ak', load: async () => new AuthorizedKeys(text) },
});

async function verify(expected: PeerExpectation, trust: Trust, by = peer): Promise<PeerVerified> {
  const claim = { identity: peer.identity, signature: await by.sign(SIGNED), signed: SIGNED };
  return PeerVerified.verify(claim, expected, trust);
}

describe('a client', () => {
  it('trusts the host whose identity the file has for the name that was typed', async () => {
    for (const authority of ['', 'a.example', 'a.example:6121']) {
      const proof = await verify({ ...CLIENT, authority }, hosts(`[a.example]:6121 ${KEY}`));
      expect(proof.principal).toBe('[a.example]:6121');
      expect(proof.identity).toEqual(peer.identity);
    }
  });

  it.each([
    [
      'another name',
      { peerName: { host: 'b.example', port: 6121 } },
      /is not in kh; it says that it is ssh-ed25519/,
    ],
    ['another port', { peerName: { host: 'a.example', port: 22 } }, /is not in kh/],
    ['no name', { peerName: undefined }, /no name was given/],
    ['a name that is none', { peerName: { host: '*', port: 6121 } }, /no host and port/],
    ['an authority of another host', { authority: 'b.example' }, /"b.example", which is not the host/],
    ['an authority of another port', { authority: 'a.example:6122' }, /not the host/],
  ] as const)('trusts nobody for %s', async (_, changes, message) => {
    await expect(verify({ ...CLIENT, ...changes }, hosts(`[a.example]:6121 ${KEY}`))).rejects.toMatchObject({
      code: 'ERR_KEYMUX_HOST_KEY',
      scope: 'session',
      message: expect.stringMatching(message),
    });
  });

  it('names file and line, and what to do, if the host has another key or a revoked one', async () => {
    const other = formatPublicKey(signerOf('other').identity);
    await expect(verify(CLIENT, hosts(`\n[a.example]:6121 ${other}`))).rejects.toThrow(
      /another key.*kh:2.*remove/s,
    );
    await expect(verify(CLIENT, hosts(`@revoked * ${KEY}`))).rejects.toThrow(/kh:1 revokes/);
  });

  it('says who the unknown host is, so that somebody may write it down', async () => {
    const error = await verify(CLIENT, hosts('')).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnknownHostError);
    expect(error).toMatchObject({ host: NAME, identity: peer.identity });
  });

  it('is not helped by an authorized_keys file', async () => {
    await expect(verify(CLIENT, keys(KEY))).rejects.toThrow(/no known_hosts file/);
  });
});

describe('the proof of an identity', () => {
  it('is made by the verifier only, for TypeScript and when it runs', async () => {
    const proof = await verify(CLIENT, hosts(`[a.example]:6121 ${KEY}`));
    const { identity, principal, restrictions } = proof;
    const copy = { identity, principal, restrictions };
    // @ts-expect-error it has all that can be read of a proof, and is none
    const forged: PeerVerified = copy;
    expect([PeerVerified.is(proof), PeerVerified.is(forged), PeerVerified.is({ ...proof })]).toEqual([
      true,
      false,
      false,
    ]);
    expect(() => Reflect.construct(PeerVerified, [Symbol('verifier'), identity, principal])).toThrow(
      TypeError,
    );
  });
});

describe('a server', () => {
  it('lets in whom the file lists, with the comment as name and what the line forbids', async () => {
    const proof = await verify(SERVER, keys(`restrict,from="192.0.2.0/24" ${KEY} alice`));
    expect(proof).toMatchObject({ principal: 'alice', restrictions: { permitOpen: [] } });
    expect((await verify(SERVER, keys(KEY))).restrictions).toBeUndefined();
  });

  it('lets nobody else in, and says in its log why', async () => {
    for (const [text, message] of [
      ['', /no usable line/],
      [`from="10.0.0.1" ${KEY}`, /line 1 has from=/],
      [`expiry-time="19990101" ${KEY}`, /line 1 has expired/],
      [`cert-authority ${KEY}`, /no usable line/],
    ] as const) {
      await expect(verify(SERVER, keys(text))).rejects.toMatchObject({
        code: 'ERR_KEYMUX_KEY_FAILURE',
        reason: 'untrusted',
        scope: 'session',
        message: expect.stringMatching(message),
      });
    }
  });

  it('is not helped by a known_hosts file', async () => {
    await expect(verify({ ...SERVER, peerName: NAME }, hosts(`* ${KEY}`))).rejects.toThrow(
      /no authorized_keys/,
    );
  });
});

describe('both', () => {
  const sides: [string, PeerExpectation, Trust][] = [
    ['client', CLIENT, hosts(`* ${KEY}`)],
    ['server', SERVER, keys(KEY)],
  ];

  it.each(sides)(
    '%s: refuse a signature by somebody else, over something else, or none',
    async (_, expected, trust) => {
      await expect(verify(expected, trust, self)).rejects.toMatchObject({ reason: 'signature' });
      const other = await peer.sign(SignedData.of(ascii('another run')));
      for (const signature of [other, new Uint8Array(64), new Uint8Array(0)]) {
        const claim = { identity: peer.identity, signature, signed: SIGNED };
        await expect(PeerVerified.verify(claim, expected, trust)).rejects.toMatchObject({
          reason: 'signature',
        });
      }
    },
  );

  it.each(sides)('%s: H14: refuse weak public keys', async (_, expected, trust) => {
    for (const identity of [
      new Uint8Array(32),
      Uint8Array.of(1, ...new Uint8Array(31)),
      new Uint8Array(31),
    ]) {
      const claim = { identity, signature: new Uint8Array(64), signed: SIGNED };
      await expect(PeerVerified.verify(claim, expected, trust)).rejects.toMatchObject({
        reason: 'signature',
      });
    }
  });

  it.each(sides)('%s: C9: refuse their own identity at the other end', async (_, expected, trust) => {
    const mirror = verify({ ...expected, ownIdentity: peer.identity }, trust);
    await expect(mirror).rejects.toMatchObject({ reason: 'own-message' });
  });

  it('H12: refuse if the list cannot be had, or asking it fails', async () => {
    const failures: (() => Promise<never>)[] = [
      () => Promise.reject(new Error('disk')),
      () => Promise.reject('no error at all'),
      () => {
        throw new TypeError('a bug');
      },
      async () => undefined as never,
      async () => ({}) as never,
      async () =>
        ({
          check: () => {
            throw new Error('a bug');
          },
          admit: () => undefined,
        }) as never,
    ];
    for (const load of failures) {
      await expect(verify(CLIENT, { knownHosts: { name: 'kh', load } })).rejects.toMatchObject({
        scope: 'session',
      });
      await expect(verify(SERVER, { authorizedKeys: { name: 'ak', load } })).rejects.toMatchObject({
        scope: 'session',
      });
    }
  });

  it('H12: only an explicit yes is one', async () => {
    for (const answer of [
      true,
      'match',
      1,
      {},
      { kind: 'Match' },
      { kind: true },
      { admitted: 'yes' },
      null,
    ]) {
      const list = { check: () => answer, admit: () => answer } as never;
      await expect(verify(CLIENT, { knownHosts: { name: 'kh', load: async () => list } })).rejects.toThrow();
      await expect(
        verify(SERVER, { authorizedKeys: { name: 'ak', load: async () => list } }),
      ).rejects.toThrow();
    }
  });

  it('H12: a file that others can change, that is damaged, or missing, refuses', async () => {
    const path = join(folder, 'file');
    await writeFile(path, `[a.example]:6121 ${KEY}\n`, { mode: 0o666 });
    const file = {
      knownHosts: new KnownHostsFile(path),
      authorizedKeys: new AuthorizedKeysFile(`${path}-missing`),
    };
    await writeFile(path, `[a.example]:6121 ${KEY}\nx`);
    await expect(verify(CLIENT, file)).rejects.toThrow(/could not be consulted/);
    await expect(verify(SERVER, file)).rejects.toThrow(/could not be consulted/);
  });

  it('make the proof nowhere else', () => {
    const make = PeerVerified as unknown as new (...args: unknown[]) => PeerVerified;
    expect(() => new make(Symbol('verifier'), peer.identity, 'x')).toThrow(TypeError);
  });
});

describe('identities', () => {
  it('R4: have separate trust lists for relays and for hosts', () => {
    const identities = new Identities();
    expect(() => identities.add(self, { authorities: ['', 'a.example'], trust: {} })).toThrow(
      /separate uses/,
    );
    const [relay, host] = [keys('x'), keys('y')];
    identities.add(self, { authorities: [''], trust: relay });
    identities.add(self, { authorities: ['a.example', 'b.example'], trust: host });
    expect(identities.find('signed', '', 'responder')?.trust).toBe(relay);
    expect(identities.find('signed', 'b.example', 'responder')?.trust).toBe(host);
    for (const [label, authority] of [
      ['signed', 'c.example'],
      ['other', ''],
      ['signed ', ''],
      ['__proto__', ''],
    ] as const) {
      expect(identities.find(label, authority, 'responder')).toBeUndefined();
    }
  });

  it('H15: take labels and authorities of their grammar only, once each, and only for their roles', () => {
    const identities = new Identities();
    identities.add(self, { authorities: [''], roles: ['responder'], trust: {} });
    expect(identities.find('signed', '', 'initiator')).toBeUndefined();
    for (const use of [
      { authorities: [''] },
      { authorities: [] },
      { authorities: ['A'] },
      { label: '../x', authorities: ['a'] },
      { label: '', authorities: ['a'] },
    ]) {
      expect(() => identities.add(self, { ...use, trust: {} })).toThrow();
    }
    expect(identities.size).toBe(1);
  });

  it('C15: sign nothing but what this package built', async () => {
    // @ts-expect-error bytes are not SignedData
    const sign = (signer: Signer) => signer.sign(new Uint8Array(32), SIGNAL);
    // @ts-expect-error the constructor is private
    const make = () => new SignedData(new Uint8Array(32));
    await expect(sign(self)).rejects.toThrow(TypeError);
    expect(make).toBeDefined();
  });
});

const SIGNAL = new AbortController().signal;
