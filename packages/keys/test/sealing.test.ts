import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aeadKey, openAes256Gcm } from '../src/crypto.ts';
import type { KeyInfo } from '../src/index.ts';
import { ALGORITHM, KeyError } from '../src/index.ts';
import { Opener } from '../src/opener.ts';
import type { DirectionKeys } from '../src/schedule.ts';
import { Sealer } from '../src/sealer.ts';
import { keeperOf, LABEL, Side, sealedHead } from './link.ts';
import { seeded } from './random.ts';
import { sharedVectors, unhex } from './shared-vectors.ts';

const INFO: KeyInfo = {
  keyId: 1,
  generation: 0,
  level: 'authenticated',
  early: false,
  algorithm: 1,
  label: 'x',
  authority: '',
  peer: 'psk:x',
  forwardSecrecy: false,
};
const LIMIT = 66_560;

describe('an envelope', () => {
  it('gives its plaintext back, whatever the parts that were sealed', () => {
    const { sealer, opener } = pair();
    const parts = fc.array(fc.uint8Array({ maxLength: 600 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(parts, (plaintext) => {
        const whole = Buffer.concat(plaintext);
        fc.pre(whole.length > 0);
        const head = sealedHead(1, 0, whole.length + 16);
        const sealed = sealer.seal(head, plaintext);
        expect(sealed).toHaveLength(plaintext.length + 1);
        expect(sealed.at(-1)).toHaveLength(sealer.overhead);
        expect(whole.equals(opener.open(head, Buffer.concat(sealed)))).toBe(true);
      }),
    );
    expect(opener.opened).toBe(sealer.sealed);
  });

  it('opens only where it was sealed: not later, earlier, twice, elsewhere or the other way round', () => {
    const one = () => {
      const { sealer, opener } = pair();
      return { opener, sealed: ['a', 'b', 'c'].map((text) => envelope(sealer, text)) };
    };
    const opens = (opener: Opener, { head, body }: Envelope) =>
      Buffer.from(opener.open(head, body)).toString();
    const right = one();
    expect(right.sealed.map((sealed) => opens(right.opener, sealed))).toEqual(['a', 'b', 'c']);
    for (const order of [[1], [0, 0], [0, 2], [0, 1, 1]]) {
      const { opener, sealed } = one();
      const [last, ...before] = [...order].reverse();
      for (const index of before.reverse()) opens(opener, sealed[index] as Envelope);
      expect(() => opens(opener, sealed[last as number] as Envelope)).toThrow(failure('envelope'));
    }
    const [first] = right.sealed as [Envelope];
    for (const { keys } of [
      { keys: { ...KEYS(), direction: 2 } },
      { keys: { ...KEYS(), key: aeadKey(seeded('another')(32)) } },
      { keys: { ...KEYS(), iv: seeded('another')(12) } },
    ]) {
      expect(() => opens(new Opener(INFO, keys), first)).toThrow(failure('envelope'));
    }
  });

  it('does not survive a change of any byte of head, ciphertext or tag, and then nothing opens', () => {
    const { sealer } = pair();
    const sealed = envelope(sealer, 'twenty bytes of text');
    const whole = Buffer.concat([sealed.head, sealed.body]);
    for (let offset = 0; offset < whole.length; offset++) {
      const changed = Uint8Array.from(whole);
      changed[offset] = (changed[offset] ?? 0) ^ (1 << (offset % 8));
      const opener = new Opener(INFO, KEYS());
      expect(() => opener.open(changed.subarray(0, 10), changed.subarray(10))).toThrow(failure('envelope'));
      expect(() => opener.open(sealed.head, sealed.body)).toThrow(failure('envelope'));
    }
  });

  it('C17: has a tag of 16 bytes', () => {
    const { head, body } = envelope(pair().sealer, 'some text');
    for (const tag of [0, 4, 8, 12]) {
      const short = body.subarray(0, body.length - 16 + tag);
      expect(() => new Opener(INFO, KEYS()).open(head, short)).toThrow(failure('envelope'));
    }
  });

  it('has 1 to 66,560 bytes', () => {
    const { sealer, opener } = pair();
    const head = sealedHead(1, 0, 0);
    expect(() => sealer.seal(head, [])).toThrow(KeyError);
    expect(() => sealer.seal(head, [new Uint8Array(LIMIT + 1)])).toThrow(KeyError);
    expect(() => sealer.seal(head.subarray(1), [new Uint8Array(1)])).toThrow(KeyError);
    expect(sealer.sealed).toBe(0);
    const full = Buffer.concat(sealer.seal(head, [new Uint8Array(LIMIT)]));
    expect(opener.open(head, full)).toHaveLength(LIMIT);
    for (const length of [0, 15, 16, LIMIT + 17]) {
      expect(() => new Opener(INFO, KEYS()).open(head, new Uint8Array(length))).toThrow(failure('envelope'));
    }
  });

  it('has the nonce iv XOR counter and the AAD of section 4.1', () => {
    const { sealer } = pair();
    for (let counter = 0; counter < 300; counter++) {
      const { head, body } = envelope(sealer, `envelope ${counter}`);
      const { key, iv, direction } = KEYS();
      const number = Buffer.alloc(12);
      number.writeUInt32BE(counter, 8);
      const nonce = Uint8Array.from(iv, (byte, index) => byte ^ (number[index] ?? 0));
      const additional = Buffer.concat([Buffer.from('keymux/1 sealed\0'), Buffer.of(direction), head]);
      const opened = openAes256Gcm(key, nonce, additional, body);
      expect(opened && Buffer.from(opened).toString()).toBe(`envelope ${counter}`);
    }
  });
});

describe('a key', () => {
  it('stops sealing and opening after so many envelopes', () => {
    const { sealer, opener } = pair({ envelopes: 2, blocks: 100 });
    const free = pair().sealer;
    for (let count = 0; count < 2; count++) {
      envelope(sealer, 'x');
      const { head, body } = envelope(free, 'x');
      opener.open(head, body);
    }
    expect(() => envelope(sealer, 'x')).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_KEY_EXHAUSTED', scope: 'usage' }),
    );
    const { head, body } = envelope(free, 'x');
    expect(() => opener.open(head, body)).toThrow(failure('limit'));
  });

  it('stops after so many blocks of 16 bytes, begun ones counted', () => {
    const { sealer } = pair({ envelopes: 100, blocks: 5 });
    envelope(sealer, 'x'.repeat(17)); // 2
    envelope(sealer, 'x'); // 3
    expect(() => envelope(sealer, 'x'.repeat(33))).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_KEY_EXHAUSTED' }),
    );
    envelope(sealer, 'x'.repeat(32)); // 5
    expect(() => envelope(sealer, 'x')).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_KEY_EXHAUSTED' }),
    );
  });
});

interface Collision {
  readonly vectors: readonly (Record<'iv' | 'aad' | 'ct' | 'tag', string> & { keys: string[] })[];
}
const collisions = sharedVectors<Collision>('aes256gcm-multikey-collision.json');

describe.skipIf(!collisions)('H9: a ciphertext that is valid under many keys', () => {
  it('opens under none of them: its tag does not cover our AAD, and no key is ever looked for by trying', () => {
    let tried = 0;
    for (const { iv, aad, ct, tag, keys } of collisions?.vectors ?? []) {
      const head = sealedHead(1, 0, (ct.length + tag.length) / 2);
      for (const bytes of keys) {
        const key = aeadKey(unhex(bytes));
        expect(openAes256Gcm(key, unhex(iv), unhex(aad), unhex(ct + tag))).toBeDefined(); // AES-GCM itself commits to no key
        for (const direction of [1, 2]) {
          const opener = new Opener(INFO, { key, iv: unhex(iv), direction });
          expect(() => opener.open(head, unhex(ct + tag))).toThrow(failure('envelope'));
          tried++;
        }
      }
    }
    expect(tried).toBeGreaterThanOrEqual(64);
  });

  it('is no first message: HMAC, which commits to its key, is what proves one', async () => {
    for (const { ct, tag } of collisions?.vectors ?? []) {
      const data = Buffer.concat([
        Buffer.of(0, 0, 0, 2, LABEL.length),
        Buffer.from(LABEL),
        Buffer.of(0),
        unhex(ct),
        unhex(tag),
      ]);
      const side = new Side('server', keeperOf('server'));
      const frame = Buffer.concat([
        Buffer.from('8003004b01', 'hex'),
        Buffer.alloc(3),
        Buffer.of(1, ALGORITHM.PSK),
        Buffer.alloc(2),
        data,
      ]);
      frame.writeUIntBE(data.length + 4, 5, 3);
      frame.writeUInt16BE(data.length, 10);
      await side.play([frame]);
      expect(side.failure?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
    }
  });
});

interface Envelope {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

function KEYS(): DirectionKeys {
  return { key: aeadKey(seeded('key')(32)), iv: seeded('iv')(12), direction: 1 };
}

function pair(limits?: { envelopes: number; blocks: number }) {
  return {
    sealer: new Sealer(INFO, KEYS(), undefined, limits),
    opener: new Opener(INFO, KEYS(), undefined, limits),
  };
}

function envelope(sealer: Sealer, text: string): Envelope {
  const head = sealedHead(1, 0, text.length + 16);
  return { head, body: Buffer.concat(sealer.seal(head, [Buffer.from(text)])) };
}

function failure(reason: string) {
  return expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session', reason });
}
