import { type Cipher, createCipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { HASH_LENGTH } from './hash.ts';

/** Bytes of a packet's ciphertext, of its tag, and of both. */
export const PACKET_TEXT = 1028;
export const PACKET_TAG = HASH_LENGTH;
export const PACKET_LENGTH = PACKET_TEXT + PACKET_TAG;

const BLOCK = 16;
const BLOCKS = Math.ceil(PACKET_TEXT / BLOCK);
const WORD = 4;
/** Packets whose key stream is made at once. */
const BATCH = 64;

/**
 * AES-256-CTR and HMAC-SHA-256 over packets of 1,028 bytes (spec 11.4), for one direction: packet n is encrypted with the counter blocks
 * n (64) || 0 (64), n || 1, ... and its tag is over the ciphertext and n (64).
 *
 * A cipher object for each packet costs more than the encryption. So the key stream of many packets is made in one call, as what counter
 * mode is: the block cipher over the counter blocks. The caller sees to it that no number is encrypted twice.
 */
export class CounterPackets {
  // KeyObjects and ciphers live outside the JavaScript heap and do not print their bytes.
  readonly #blockCipher: Cipher;
  readonly #tagKey: KeyObject;

  /** `keys` is E || H, 64 bytes, and stays the caller's to wipe. */
  constructor(keys: Uint8Array) {
    if (keys.length !== 2 * HASH_LENGTH) throw new RangeError('the keys of a direction have 64 bytes');
    const encryption = createSecretKey(keys.subarray(0, HASH_LENGTH));
    this.#blockCipher = createCipheriv('aes-256-ecb', encryption, null).setAutoPadding(false);
    this.#tagKey = createSecretKey(keys.subarray(HASH_LENGTH));
  }

  /**
   * Encrypts, or decrypts, in place the texts of `count` packets that follow each other from the start of `packets`, of which the first has
   * the number `first`. Tags stay as they are. The memory must be aligned to 4 bytes, as that of `allocUnsafeSlow` is.
   */
  crypt(packets: Buffer, count: number, first: number): void {
    const words = new Uint32Array(packets.buffer, packets.byteOffset, packets.length / WORD); // throws if it is not aligned
    for (let done = 0; done < count; done += BATCH) {
      const batch = Math.min(BATCH, count - done);
      const stream = this.#keyStream(first + done, batch);
      for (let packet = 0; packet < batch; packet++) {
        let at = ((done + packet) * PACKET_LENGTH) / WORD;
        let from = (packet * BLOCKS * BLOCK) / WORD;
        for (const end = at + PACKET_TEXT / WORD; at < end; at++, from++) {
          words[at] = (words[at] as number) ^ (stream[from] as number);
        }
      }
    }
  }

  /** The tag of the packet that begins at `at`. Its number is written over the first bytes of the place of the tag. */
  tag(packets: Buffer, at: number, number: number): Buffer {
    writeNumber(packets, at + PACKET_TEXT, number);
    const tagged = packets.subarray(at, at + PACKET_TEXT + 2 * WORD);
    return createHmac('sha256', this.#tagKey).update(tagged).digest();
  }

  #keyStream(first: number, count: number): Uint32Array {
    for (let packet = 0, at = 0; packet < count; packet++) {
      writeNumber(COUNTERS, packet * BLOCKS * BLOCK, first + packet);
      const [high, low] = [COUNTER_WORDS[at] as number, COUNTER_WORDS[at + 1] as number];
      for (const end = at + (BLOCKS * BLOCK) / WORD; at < end; at += BLOCK / WORD) {
        COUNTER_WORDS[at] = high;
        COUNTER_WORDS[at + 1] = low;
      }
    }
    return wordsOf(this.#blockCipher.update(COUNTERS.subarray(0, count * BLOCKS * BLOCK)));
  }
}

/** The counter blocks of a batch, for all directions: everything here is synchronous. The numbers of the packets are written in later. */
const COUNTERS = Buffer.alloc(BATCH * BLOCKS * BLOCK);
const COUNTER_WORDS = wordsOf(COUNTERS);
for (let block = 0; block < BATCH * BLOCKS; block++) {
  COUNTERS.writeUInt32BE(block % BLOCKS, block * BLOCK + 3 * WORD);
}

function writeNumber(into: Buffer, at: number, number: number): void {
  into.writeUInt32BE(Math.floor(number / 2 ** 32), at);
  into.writeUInt32BE(number % 2 ** 32, at + WORD);
}

/** As words, to be read. Node may place a small result anywhere in a shared pool: then it is copied first. */
function wordsOf(bytes: Buffer): Uint32Array {
  const aligned = bytes.byteOffset % WORD === 0 ? bytes : Uint8Array.from(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / WORD);
}
