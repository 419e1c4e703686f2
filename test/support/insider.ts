import { createHash } from 'node:crypto';
import { encodeControl, encodeSealedHead, TAG_LENGTH } from '@keymux/frames';
import { ALGORITHM, type Keeper, KeyRegistry } from '@keymux/keys';
import type { Meddler, Passing, Way, Wire } from './middle.ts';

/**
 * A man in the middle who has a credential of his own at one of the two ends. He negotiates a key with it in the place of the other end, inside the
 * session of the two, and keeps the other end from noticing.
 */
export class Insider {
  /** The way towards the end that he deceives. */
  readonly #way: Way;
  readonly #registry: KeyRegistry;
  /** What of each frame the session digest of the deceived end takes, on the way to it (spec 3.6). */
  readonly #arrived: Uint8Array[] = [];
  /** The same for what it has sent. */
  readonly #sent: Uint8Array[] = [];
  #keyId = 0;
  #silent = false;

  constructor(way: Way, keeper: Keeper) {
    this.#way = way;
    this.#registry = new KeyRegistry({ role: way === 'up' ? 'client' : 'server', keeper });
  }

  /** His hands on the wire: he hides the answers to his run, and, once `silence` was called, the honest end. */
  readonly meddle: Meddler = (passing) => {
    const { way, frame, bytes } = passing;
    if (way === this.#way) {
      if (this.#silent) return [];
      this.#arrived.push(digested(passing));
      return undefined;
    }
    const before = digestOf(this.#sent);
    this.#sent.push(digested(passing));
    if (frame?.type !== 'key-nego' || frame.keyId !== this.#keyId) return undefined;
    this.#registry.receive(frame, bytes, before, 0);
    return [];
  };

  /** From now on nothing of the end in whose place he speaks gets through. */
  silence(): void {
    this.#silent = true;
  }

  /** Negotiates a key whose ID is not yet taken in the session of the two; resolves when it seals. */
  async negotiate(wire: Wire, label: string, authority: string, keysBefore: number): Promise<void> {
    const request = { algorithm: ALGORITHM.PSK_X25519, label, authority, now: 0 };
    for (let id = 0; id <= keysBefore; id++) this.#keyId = this.#registry.negotiate(request);
    await new Promise<void>((resolve, reject) => {
      this.#registry.onProgress = () => {
        for (let event = this.#registry.poll(); event !== undefined; event = this.#registry.poll()) {
          if (event.type === 'send') this.#send(wire, event.frame);
          if (event.type === 'established') resolve();
          if (event.type === 'failed' || event.type === 'rejected') reject(new Error(`test: ${event.type}`));
        }
      };
    });
  }

  /** Puts an envelope of his key on the wire. */
  seal(wire: Wire, ...frames: readonly Uint8Array[]): void {
    const key = this.#registry.sender(this.#keyId);
    if (key === undefined) throw new Error('test: the insider has no key');
    const plaintext = Buffer.concat(frames);
    const head = encodeSealedHead(key.keyId, key.generation, plaintext.length + TAG_LENGTH);
    this.#arrived.push(Uint8Array.from(head));
    wire.send(this.#way, head, ...key.seal(head, [plaintext]));
  }

  get keyId(): number {
    return this.#keyId;
  }

  #send(wire: Wire, frame: Parameters<KeyRegistry['receive']>[0]): void {
    const bytes = encodeControl({ type: 'key-nego', ...frame });
    const before = digestOf(this.#arrived);
    if (frame.keyId === this.#keyId) {
      this.#arrived.push(bytes);
      wire.send(this.#way, bytes);
    } // Else its ID is one of those that the two use: the run is begun and never heard of.
    this.#registry.sent(frame.keyId, bytes, before);
  }
}

function digested({ type, bytes }: Passing): Uint8Array {
  const length = { data: 8, sealed: 10 }[type as string] ?? bytes.length;
  return Uint8Array.from(bytes.subarray(0, length));
}

function digestOf(parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
