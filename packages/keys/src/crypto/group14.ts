import { getDiffieHellman, type KeyObject } from 'node:crypto';
import { ThreadPool } from './thread-pool.ts';

/** Bytes of a number modulo p, always written in full. */
export const GROUP14_LENGTH = 256;

const RANDOM_LENGTH = 32;
const PRIME = getDiffieHellman('modp14').getPrime();
const PRIME_MINUS_ONE = Buffer.from(PRIME);
PRIME_MINUS_ONE[GROUP14_LENGTH - 1] = (PRIME_MINUS_ONE[GROUP14_LENGTH - 1] ?? 0) - 1; // p is odd: no borrow
const ONE = Buffer.alloc(GROUP14_LENGTH);
ONE[GROUP14_LENGTH - 1] = 1;

/** What the threads do; group14-thread.js says what each field is. */
interface Made {
  readonly key: KeyObject;
  readonly publicValue: Uint8Array;
}

interface Agreed {
  readonly shared: Uint8Array | undefined;
}

export interface DhKeyOptions {
  /** Stands for who causes the work: clients get a thread in turns. */
  readonly client?: string;
  readonly random?: ((length: number) => Uint8Array) | undefined;
}

const threads = new ThreadPool(new URL('./group14-thread.js', import.meta.url));

/**
 * One side's ephemeral key in group 14 of RFC 3526, as spiped makes it: exponent 2^258 + 256 random bits. One object serves one run. Each of its two
 * computations takes a millisecond of the processor, or several on a small one, so they are done in threads of their own, where the exponent is
 * made too: here it is only a handle. Both reject with KeyError (session, reason `keeper`) if too many wait for a thread, or if it fails.
 */
export class DhKey {
  /** y = 2^x mod p, 256 bytes. */
  readonly publicValue: Uint8Array;
  readonly #key: KeyObject;
  readonly #client: string;

  private constructor({ publicValue, key }: Made, client: string) {
    this.publicValue = publicValue;
    this.#key = key;
    this.#client = client;
  }

  /** `random` is for test vectors: what the exponent is made of. */
  static async generate({ client = '', random }: DhKeyOptions = {}): Promise<DhKey> {
    const job = random === undefined ? {} : { random: Uint8Array.from(random(RANDOM_LENGTH)) };
    return new DhKey(await threads.run<Made>(job, client), client);
  }

  /**
   * peer^x mod p, 256 bytes. `peer` must have passed `isGroup14Public`. Undefined if OpenSSL refuses it, which it may if it is no
   * power of 2; every honest value is one.
   */
  async agree(peer: Uint8Array): Promise<Uint8Array | undefined> {
    if (!isGroup14Public(peer)) throw new RangeError('a group 14 value was not checked');
    const job = { key: this.#key, peer: Uint8Array.from(peer) };
    return (await threads.run<Agreed>(job, this.#client)).shared;
  }
}

/** Starts a thread, so that it is there when the first key is asked for. */
export function prepareGroup14(): void {
  threads.prepare();
}

/**
 * Whether `y` is 256 bytes and 1 < y < p - 1. Node itself accepts values above p and reduces them, so that p + 2 would
 * be a second way to write 2; and y = 1 is spiped's switch for doing without forward secrecy.
 */
export function isGroup14Public(y: Uint8Array): boolean {
  return y.length === GROUP14_LENGTH && Buffer.compare(y, ONE) > 0 && Buffer.compare(y, PRIME_MINUS_ONE) < 0;
}
