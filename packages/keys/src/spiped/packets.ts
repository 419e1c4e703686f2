import {
  CounterPackets,
  equalBytes,
  HASH_LENGTH,
  PACKET_LENGTH,
  PACKET_TAG,
  PACKET_TEXT,
} from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Secret } from '../secret.ts';
import type { SpipedRole } from './keeper.ts';

/** Bytes of payload that a packet has room for; what is missing is zeros. */
const PAYLOAD = 1024;

/** Both directions of a connection (spec 11.4), made of the keys that a handshake yields, which are wiped. */
export function packetKeys(
  keys: Secret,
  role: SpipedRole,
): { readonly sealer: PacketSealer; readonly opener: PacketOpener } {
  const [client, server] = keys.use((bytes) => [
    new CounterPackets(bytes.subarray(0, 2 * HASH_LENGTH)),
    new CounterPackets(bytes.subarray(2 * HASH_LENGTH)),
  ]) as [CounterPackets, CounterPackets];
  keys.wipe();
  const [own, peer] = role === 'client' ? [client, server] : [server, client];
  return { sealer: new PacketSealer(own), opener: new PacketOpener(peer) };
}

/** Makes packets of the bytes of one direction. Its number, which is the nonce, only rises. */
export class PacketSealer {
  readonly #cipher: CounterPackets;
  #number = 0;

  constructor(cipher: CounterPackets) {
    this.#cipher = cipher;
  }

  /** Packets of 1,060 bytes that hold `payload`, which are as many as 1,024 goes into its length. */
  seal(payload: Uint8Array): Buffer {
    const count = Math.ceil(payload.length / PAYLOAD);
    const packets = Buffer.allocUnsafeSlow(count * PACKET_LENGTH);
    for (let index = 0, at = 0; index < count; index++, at += PACKET_LENGTH) {
      const piece = payload.subarray(index * PAYLOAD, (index + 1) * PAYLOAD);
      packets.set(piece, at);
      if (piece.length < PAYLOAD) packets.fill(0, at + piece.length, at + PAYLOAD);
      packets.writeUInt32BE(piece.length, at + PAYLOAD);
    }
    this.#cipher.crypt(packets, count, this.#number);
    for (let at = 0; at < packets.length; at += PACKET_LENGTH) {
      packets.set(this.#cipher.tag(packets, at, this.#number++), at + PACKET_TEXT);
    }
    return packets;
  }
}

/** Takes packets of one direction apart, however their bytes arrive. */
export class PacketOpener {
  readonly #cipher: CounterPackets;
  /** The beginning of a packet that is not there yet. */
  readonly #begun = Buffer.allocUnsafeSlow(PACKET_LENGTH);
  #begunBytes = 0;
  readonly #tag = Buffer.allocUnsafeSlow(PACKET_TAG);
  #number = 0;

  constructor(cipher: CounterPackets) {
    this.#cipher = cipher;
  }

  /**
   * The payload of the packets that end in `bytes`; empty if none does. Throws KeyError (session) if one is not authentic, and then
   * hands out none of them: the connection is over.
   */
  open(bytes: Uint8Array): Buffer {
    const whole = Math.floor((this.#begunBytes + bytes.length) / PACKET_LENGTH);
    const taken = whole === 0 ? 0 : whole * PACKET_LENGTH - this.#begunBytes;
    const payload = whole === 0 ? NOTHING : this.#openWhole(bytes.subarray(0, taken), whole);
    if (whole > 0) this.#begunBytes = 0;
    this.#begun.set(bytes.subarray(taken), this.#begunBytes);
    this.#begunBytes += bytes.length - taken;
    return payload;
  }

  /** The bytes end here. Throws KeyError (session) inside a packet; whether all packets have come, nobody can tell (spec 11.5). */
  end(): void {
    if (this.#begunBytes > 0) throw keyFailure('packet', 'the bytes end inside it');
  }

  #openWhole(bytes: Uint8Array, count: number): Buffer {
    const packets = Buffer.allocUnsafeSlow(count * PACKET_LENGTH);
    this.#begun.copy(packets, 0, 0, this.#begunBytes);
    packets.set(bytes, this.#begunBytes);
    const first = this.#number;
    for (let at = 0; at < packets.length; at += PACKET_LENGTH) {
      packets.copy(this.#tag, 0, at + PACKET_TEXT);
      if (!equalBytes(this.#cipher.tag(packets, at, this.#number++), this.#tag)) throw keyFailure('packet');
    }
    this.#cipher.crypt(packets, count, first);
    return join(packets);
  }
}

/** The payload of decrypted packets, moved together in the same memory. */
function join(packets: Buffer): Buffer {
  let end = 0;
  for (let at = 0; at < packets.length; at += PACKET_LENGTH) {
    const length = packets.readUInt32BE(at + PAYLOAD);
    // Its sender holds the key and is no spiped.
    if (length === 0 || length > PAYLOAD) throw keyFailure('packet', `it claims ${length} bytes`);
    packets.copyWithin(end, at, at + length);
    end += length;
  }
  return packets.subarray(0, end);
}

const NOTHING = Buffer.alloc(0);
