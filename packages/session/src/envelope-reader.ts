import { FrameDecoder, type Item, type SealedItem } from '@keymux/frames';
import { keyFailure } from './errors.ts';
import type { KeyInfo, KeyPort, ReceiveKey } from './key-port.ts';
import type { SessionDigest } from './session-digest.ts';

/** Opens envelopes and hands out their frames; keeps the rules for an envelope as such (spec 4.1, 4.3). */
export class EnvelopeReader {
  readonly #keys: KeyPort | undefined;
  readonly #digest: SessionDigest;
  readonly #spendIdle: () => void;
  readonly #inside = new FrameDecoder({ place: 'inside', sealed: true });
  /** The key of the open envelope. */
  #key: ReceiveKey | undefined;
  #head: Uint8Array | undefined;
  /** No frame of it has been entered. */
  #atStart = false;
  /** No frame of it was anything but padding. */
  #idle = false;
  /** A KEY_NEGO frame was in it. */
  #complete = false;
  /** What KEY_UPDATE must say, if this is the first envelope of a generation that follows another. */
  #expectedUpdate: number | undefined;

  /** @param spendIdle called for each envelope with nothing inside; throws SessionError if there are too many */
  constructor(keys: KeyPort | undefined, digest: SessionDigest, spendIdle: () => void) {
    this.#keys = keys;
    this.#digest = digest;
    this.#spendIdle = spendIdle;
  }

  /** What is known of the key that the frame at hand came under; undefined outside an envelope. */
  get key(): KeyInfo | undefined {
    return this.#key?.info;
  }

  open(item: SealedItem): void {
    const { keyId, generation } = item;
    const key = this.#keys?.receiver(keyId, generation);
    if (key === undefined) {
      throw keyFailure(`an envelope under key ${keyId}, generation ${generation}, which is not established`);
    }
    this.#inside.push(plaintextOf(key, item));
    this.#key = key;
    this.#head = item.head;
    this.#atStart = true;
    this.#idle = true;
    this.#complete = false;
    this.#expectedUpdate =
      key.opened === 1 && generation > 0 ? this.#keys?.receiver(keyId, generation - 1)?.opened : undefined;
  }

  /** The next item of the open envelope. At its end undefined; the envelope is closed then. */
  next(): Item | undefined {
    if (this.#head === undefined) return undefined;
    const item = this.#inside.next();
    if (item === undefined) this.#close(this.#head);
    return item;
  }

  /** A frame of the open envelope is going to be handled. `update` is the count of a KEY_UPDATE. */
  enterFrame(isPadding: boolean, update: number | undefined): void {
    if (this.#complete && !isPadding) throw keyFailure('a frame behind KEY_NEGO in its envelope');
    if (this.#atStart) this.#enterGeneration(update);
    else if (update !== undefined) throw keyFailure('KEY_UPDATE is not the first frame');
    this.#atStart = false;
    this.#idle &&= isPadding;
  }

  /** A KEY_NEGO frame was in it, behind which there is only padding: what it makes takes effect between envelopes (spec 4.3). */
  complete(): void {
    this.#complete = true;
  }

  /** The first envelope of a generation says how many the generation before it had (spec 4.3). */
  #enterGeneration(update: number | undefined): void {
    const key = this.#key as ReceiveKey;
    if (this.#expectedUpdate === undefined) {
      if (update !== undefined) throw keyFailure('KEY_UPDATE without an earlier generation');
      return;
    }
    // A direction whose earlier generation was never used starts without KEY_UPDATE.
    if ((update ?? 0) !== this.#expectedUpdate)
      throw keyFailure('KEY_UPDATE: envelopes were lost on the way');
    this.#keys?.confirmGeneration(key.keyId, key.generation);
  }

  #close(head: Uint8Array): void {
    // Its least length has room for a frame's head, so one without a frame ends inside one.
    if (this.#inside.midFrame) throw keyFailure('an envelope that ends inside a frame');
    this.#digest.update(head);
    this.#key = this.#head = undefined;
    if (this.#idle) this.#spendIdle(); // opening it was work all the same
  }
}

/** Nothing comes out before the tag is verified; whatever goes wrong is one and the same error (rule R4). */
function plaintextOf(key: ReceiveKey, item: SealedItem): Uint8Array {
  try {
    return key.open(item.head, item.body);
  } catch (error) {
    throw keyFailure(`an envelope under key ${item.keyId} does not open`, error);
  }
}
