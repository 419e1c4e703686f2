import { describe, expect, it } from 'vitest';
import { NoiseHandshake, type NoiseToken } from '../src/algorithms/noise.ts';
import { aeadKey, sealAes256Gcm, X25519Key } from '../src/crypto.ts';
import { Secret } from '../src/index.ts';
import { seeded } from './random.ts';
import { hex, sharedVectors, unhex } from './shared-vectors.ts';

interface Vector {
  readonly protocol_name: string;
  readonly init_prologue: string;
  readonly init_psks?: readonly string[];
  readonly init_ephemeral: string;
  readonly resp_prologue: string;
  readonly resp_psks?: readonly string[];
  readonly resp_ephemeral: string;
  readonly handshake_hash?: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

/** What can be made of the tokens that there are. */
const PATTERNS: Readonly<Record<string, readonly (readonly NoiseToken[])[]>> = {
  NN: [['e'], ['e', 'ee']],
  NNpsk0: [
    ['psk', 'e'],
    ['e', 'ee'],
  ],
  NNpsk2: [['e'], ['e', 'ee', 'psk']],
};

const files = ['noise-cacophony-25519-sha256.json', 'noise-snow-25519-sha256.json'];

describe('Noise', () => {
  for (const file of files) {
    const vectors = sharedVectors<{ vectors: Vector[] }>(file)?.vectors ?? [];
    const covered = vectors.filter(
      ({ protocol_name: name }) => name.includes('AESGCM') && patternOf(name) !== undefined,
    );

    it.skipIf(vectors.length === 0)(`reproduces the vectors of ${file}`, () => {
      expect(covered.length).toBe(file.includes('cacophony') ? 3 : 1);
      for (const vector of covered) {
        const [initiator, responder] = [start(vector, 'init'), start(vector, 'resp')];
        for (const [index, { payload, ciphertext }] of vector.messages.slice(0, 2).entries()) {
          const [from, to] = index === 0 ? [initiator, responder] : [responder, initiator];
          expect(hex(from.writeMessage(unhex(payload))), vector.protocol_name).toBe(ciphertext);
          expect(hex(to.readMessage(unhex(ciphertext)))).toBe(payload);
        }
        if (vector.handshake_hash) expect(hex(initiator.handshakeHash)).toBe(vector.handshake_hash);
        expect(hex(responder.handshakeHash)).toBe(hex(initiator.handshakeHash));
        const keys = initiator.split();
        expect(responder.split().use(hex)).toBe(keys.use(hex));
        for (const [index, { payload, ciphertext }] of vector.messages.slice(2).entries()) {
          const key = keys.use((bytes) => aeadKey(bytes.subarray(32 * (index % 2)).subarray(0, 32)));
          const nonce = new Uint8Array(12);
          nonce[11] = Math.floor(index / 2);
          const sealed = sealAes256Gcm(key, nonce, new Uint8Array(0), [unhex(payload)]);
          expect(hex(Buffer.concat(sealed))).toBe(ciphertext);
        }
      }
    });
  }

  it('H5: refuses a public value of small order, and its own', () => {
    for (const [value, reason] of [
      [new Uint8Array(32), 'public-key'],
      [X25519Key.of(seeded('own')(32)).publicValue, 'own-message'],
    ] as const) {
      const initiator = handshake(PATTERNS.NN, () => X25519Key.of(seeded('own')(32)));
      initiator.writeMessage(new Uint8Array(0));
      const message = new Uint8Array(48);
      message.set(value);
      expect(() => initiator.readMessage(message)).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', reason }),
      );
    }
  });

  it('refuses messages that are too short, or come before what they need', () => {
    const short = (length: number) => () =>
      handshake(PATTERNS.NNpsk0, X25519Key.generate).readMessage(new Uint8Array(length));
    expect(short(31)).toThrow(expect.objectContaining({ reason: 'malformed' }));
    for (const length of [32, 47, 48]) {
      expect(short(length)).toThrow(expect.objectContaining({ reason: 'wrong-key' }));
    }
    const early = handshake([['ee']], X25519Key.generate);
    expect(() => early.writeMessage(new Uint8Array(0))).toThrow(RangeError);
  });
});

function start(vector: Vector, side: 'init' | 'resp'): NoiseHandshake {
  const psk = vector[`${side}_psks`]?.[0];
  return new NoiseHandshake({
    protocol: vector.protocol_name,
    pattern: patternOf(vector.protocol_name) ?? [],
    prologue: unhex(vector[`${side}_prologue`]),
    ...(psk === undefined ? {} : { psk: Secret.take(unhex(psk)) }),
    ephemeral: () => X25519Key.of(unhex(vector[`${side}_ephemeral`])),
  });
}

function handshake(
  pattern: (typeof PATTERNS)[string] | undefined,
  ephemeral: () => X25519Key,
): NoiseHandshake {
  const [psk, prologue] = [Secret.take(seeded('psk')(32)), new Uint8Array(0)];
  return new NoiseHandshake({ protocol: 'Noise_test', pattern: pattern ?? [], prologue, psk, ephemeral });
}

function patternOf(protocol: string): (typeof PATTERNS)[string] | undefined {
  return PATTERNS[protocol.split('_')[1] ?? ''];
}
