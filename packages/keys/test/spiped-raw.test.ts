import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { rawSpipedVectors } from '../../../test/support/make-spiped-vectors.ts';
import { rawPacket } from '../../../test/support/reference-spiped.ts';
import { CounterPackets } from '../src/crypto.ts';
import {
  LocalSpipedKeeper,
  PreSharedKey,
  packetKeys,
  Secret,
  type SpipedAwaiting,
  type SpipedRole,
  type SpipedTurn,
} from '../src/index.ts';
import { PacketSealer } from '../src/spiped/packets.ts';

const FILE = fileURLToPath(new URL('../../../spec/vectors/spiped-raw.json', import.meta.url));
const made = JSON.parse(JSON.stringify(rawSpipedVectors())) as ReturnType<typeof rawSpipedVectors>;
if (process.env.KEYMUX_WRITE_VECTORS) writeFileSync(FILE, `${JSON.stringify(made, null, 1)}\n`);
const vectors = JSON.parse(readFileSync(FILE, 'utf8')) as typeof made;
const unhex = (text: string): Buffer => Buffer.from(text, 'hex');
const FAILURE = expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session' });

test('the vectors are what the reference makes', () => expect(vectors).toEqual(made));

/** A keeper whose random bytes are those of one side. */
function keeper(role: SpipedRole, keyFile = unhex(vectors.keyFile)): LocalSpipedKeeper {
  const { nonceC, nonceS, xC, xS } = vectors;
  const random = (role === 'client' ? [nonceC, xC] : [nonceS, xS]).map(unhex);
  return new LocalSpipedKeeper({
    key: new PreSharedKey(keyFile),
    random: () => random.shift() as Buffer,
  });
}

function awaiting({ next }: SpipedTurn): SpipedAwaiting {
  if (next === undefined) throw new Error('it waits for nothing');
  return next;
}

/** One side, which has got the nonce of the other. */
async function afterNonces(role: SpipedRole): Promise<SpipedTurn> {
  const { nonceC, nonceS } = vectors;
  const started = await keeper(role).start(role);
  expect(started.send).toEqual(unhex(role === 'client' ? nonceC : nonceS));
  return awaiting(started).receive(unhex(role === 'client' ? nonceS : nonceC));
}

describe('the handshake', () => {
  test('both sides say what the vectors say, and have the same keys', async () => {
    const client = await afterNonces('client');
    const server = await afterNonces('server');
    expect(client.send).toEqual(new Uint8Array(unhex(vectors.valueC)));
    expect(server.send).toBeUndefined();
    expect([awaiting(client).bytes, awaiting(server).bytes]).toEqual([288, 288]);
    const served = await awaiting(server).receive(client.send as Uint8Array);
    expect(served.send).toEqual(new Uint8Array(unhex(vectors.valueS)));
    const joined = await awaiting(client).receive(served.send as Uint8Array);
    for (const { keys } of [served, joined]) {
      expect(keys?.use((bytes) => Buffer.from(bytes).toString('hex'))).toBe(vectors.dk2);
    }
  });

  test.each(vectors.handshakeRefusals)('refused by the $to: $why', async ({ to, message }) => {
    const turn = await afterNonces(to as SpipedRole);
    await expect(awaiting(turn).receive(unhex(message))).rejects.toEqual(FAILURE);
  });

  test("refused: one's own nonce, as from a mirror", async () => {
    for (const role of ['client', 'server'] as const) {
      const started = await keeper(role).start(role);
      await expect(awaiting(started).receive(started.send as Uint8Array)).rejects.toEqual(FAILURE);
    }
  });

  test('messages of another length are refused', async () => {
    for (const length of [0, 287, 289]) {
      const turn = await afterNonces('server');
      const value = Buffer.concat([unhex(vectors.valueC), Buffer.alloc(1)]).subarray(0, length);
      await expect(awaiting(turn).receive(value)).rejects.toEqual(FAILURE);
    }
  });

  test('no two runs share a nonce or a value', async () => {
    const key = new PreSharedKey(unhex(vectors.keyFile));
    const seen = new Set<string>();
    for (let run = 0; run < 3; run++) {
      const started = await new LocalSpipedKeeper({ key }).start('client');
      const { send } = await awaiting(started).receive(unhex(vectors.nonceS));
      for (const sent of [started.send, send?.subarray(0, 256)])
        seen.add(Buffer.from(sent ?? []).toString('hex'));
    }
    expect(seen.size).toBe(6);
  });
});

/** Both directions of one side. */
const side = (role: SpipedRole) => packetKeys(Secret.take(unhex(vectors.dk2)), role);
const CLIENT = unhex(vectors.dk2).subarray(0, 64);

describe('packets', () => {
  test('are those of the vectors, and open at the other side', () => {
    for (const role of ['client', 'server'] as const) {
      const { sealer } = side(role);
      const { opener } = side(role === 'client' ? 'server' : 'client');
      for (const { payload, packet } of vectors.packets[role]) {
        expect(sealer.seal(unhex(payload)).toString('hex')).toBe(packet);
        expect(opener.open(unhex(packet)).toString('hex')).toBe(payload);
      }
    }
  });

  test('the keys are wiped when they have become ciphers', () => {
    const keys = Secret.take(unhex(vectors.dk2));
    packetKeys(keys, 'client');
    expect(keys.wiped).toBe(true);
  });

  test('numbers go beyond 32 bits', () => {
    const { number, payload, packet } = vectors.late;
    const cipher = new CounterPackets(CLIENT);
    const late = {
      crypt: (packets: Buffer, count: number) => cipher.crypt(packets, count, number),
      tag: (packets: Buffer, at: number) => cipher.tag(packets, at, number),
    };
    const sealed = new PacketSealer(late as unknown as CounterPackets).seal(unhex(payload));
    expect(sealed.toString('hex')).toBe(packet);
  });

  // 64 packets are encrypted at once.
  test.each([1, 2, 1023, 1024, 1025, 63 * 1024, 64 * 1024, 64 * 1024 + 1, 65 * 1024, 200_000])(
    '%i bytes become as many packets as they need, each as the reference makes it',
    (length) => {
      const payload = Buffer.from(Array.from({ length }, (_, at) => (at * 7) % 251));
      const { sealer } = side('client');
      sealer.seal(Buffer.from('before')); // numbers go on over calls
      const packets = sealer.seal(payload);
      const expected: Buffer[] = [];
      for (let at = 0; at < length; at += 1024) {
        expected.push(rawPacket(CLIENT, at / 1024 + 1, payload.subarray(at, at + 1024)));
      }
      expect(packets.equals(Buffer.concat(expected))).toBe(true);
    },
  );

  test('no bytes become no packet', () =>
    expect(side('client').sealer.seal(Buffer.alloc(0))).toHaveLength(0));

  test.each([1, 7, 1059, 1060, 1061, 2120, 5000])('arrive in pieces of %i bytes', (size) => {
    const payload = Buffer.from(Array.from({ length: 20_000 }, (_, at) => at % 253));
    const packets = side('client').sealer.seal(payload);
    const { opener } = side('server');
    const opened: Buffer[] = [];
    for (let at = 0; at < packets.length; at += size) {
      opened.push(Buffer.from(opener.open(packets.subarray(at, at + size))));
    }
    opener.end();
    expect(Buffer.concat(opened).equals(payload)).toBe(true);
  });

  test('what was handed in is not changed', () => {
    const payload = Buffer.from('payload');
    const packets = side('client').sealer.seal(payload);
    const before = Buffer.from(packets);
    side('server').opener.open(packets);
    expect([payload.toString(), packets.equals(before)]).toEqual(['payload', true]);
  });

  test.each(vectors.packetRefusals)('refused: $why', ({ packet, after = 0 }) => {
    const { opener } = side('server');
    for (const right of vectors.packets.client.slice(0, after)) opener.open(unhex(right.packet));
    expect(() => opener.open(unhex(packet as string))).toThrow(FAILURE);
  });

  test('a packet that was changed takes those which came with it along', () => {
    const [one, two] = vectors.packets.client.map(({ packet }) => unhex(packet)) as [Buffer, Buffer];
    two[500] = (two[500] as number) ^ 1;
    expect(() => side('server').opener.open(Buffer.concat([one, two]))).toThrow(FAILURE);
  });

  test('an end inside a packet is refused, one behind it is not', () => {
    const packet = unhex(vectors.packets.client[0]?.packet as string);
    for (const length of [1, 1028, 1059]) {
      const { opener } = side('server');
      opener.open(packet.subarray(0, length));
      expect(() => opener.end()).toThrow(FAILURE);
    }
    const { opener } = side('server');
    opener.open(packet);
    opener.end();
  });
});
