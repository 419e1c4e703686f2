import type { StateReader, StateWriter } from '@keymux/frames';
import { REJECT_REASON } from '@keymux/keys';
import { UsageError } from '@keymux/session';

/** When a key's secrets are renewed (spec 3.14). Whichever is reached first counts. */
export interface RenegotiationLimits {
  /** Bytes of plaintext that one generation carries in one direction, at least 65,536; 64 GiB by default. */
  readonly bytes?: number;
  /** Milliseconds that one generation lives, 1,000 to 2^31 - 1; an hour by default. */
  readonly age?: number;
}

/** What the policy does to keys. */
export interface RenegotiationTarget {
  /** What the newest generation has carried; undefined if the key is gone. */
  carried(keyId: number): { readonly bytes: number; readonly envelopes: number } | undefined;
  /** Throws if the key cannot be renegotiated. */
  renegotiate(keyId: number): void;
}

interface Renewed {
  /** When the newest generation was made. */
  since: number;
  /** When the next may be asked for. */
  notBefore: number;
}

/** Renews the keys that this side has begun, by volume and by age. Times are milliseconds. */
export class RenegotiationPolicy {
  readonly #target: RenegotiationTarget;
  readonly #bytes: number;
  readonly #age: number;
  readonly #keys = new Map<number, Renewed>();

  /** Throws UsageError `ERR_KEYMUX_CONFIG`. */
  constructor(target: RenegotiationTarget, { bytes = 64 * 2 ** 30, age = 3_600_000 }: RenegotiationLimits) {
    this.#target = target;
    this.#bytes = inRange('bytes', bytes, 65_536, Number.MAX_SAFE_INTEGER);
    this.#age = inRange('age', age, 1000, 2 ** 31 - 1);
  }

  /** A generation of a key of this side can be used. */
  established(keyId: number, now: number): void {
    this.#keys.set(keyId, { since: now, notBefore: now });
  }

  /** The peer did not want to; it is asked again later if that may help. */
  rejected(keyId: number, reason: number, now: number): void {
    if (reason === REJECT_REASON.TOO_MANY_RUNS || reason === REJECT_REASON.NOT_NOW) this.postpone(keyId, now);
    else this.forget(keyId);
  }

  /** It could not be asked for now. */
  postpone(keyId: number, now: number): void {
    const key = this.#keys.get(keyId);
    if (key !== undefined) key.notBefore = now + PAUSE;
  }

  /** The key is gone, or cannot be renegotiated. */
  forget(keyId: number): void {
    this.#keys.delete(keyId);
  }

  save(writer: StateWriter, now: number): void {
    writer.list(this.#keys, ([keyId, { since, notBefore }]) => {
      writer.u8(keyId);
      writer.f64(now - since);
      writer.f64(notBefore - now);
    });
  }

  load(reader: StateReader, now: number): void {
    reader.list(() => {
      this.#keys.set(reader.u8(), { since: now - reader.f64(), notBefore: now + reader.f64() });
    });
  }

  /** Begins what is due. Returns when to ask again if nothing happens before. */
  check(now: number): number | undefined {
    let next: number | undefined;
    for (const [keyId, key] of this.#keys) {
      const due = Math.max(key.since + this.#age, key.notBefore);
      if (now >= due || (now >= key.notBefore && this.#isWorn(keyId))) this.#renew(keyId, key, now);
      else if (next === undefined || due < next) next = due;
    }
    return next;
  }

  #isWorn(keyId: number): boolean {
    const carried = this.#target.carried(keyId);
    return carried !== undefined && (carried.bytes >= this.#bytes || carried.envelopes >= ENVELOPES);
  }

  #renew(keyId: number, key: Renewed, now: number): void {
    key.notBefore = now + PAUSE;
    try {
      this.#target.renegotiate(keyId);
    } catch {
      this.forget(keyId); // it has its limits still (spec 4.1)
    }
  }
}

function inRange(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const message = `renegotiate.${name} is ${value}; it must be a whole number from ${min} to ${max}`;
  throw new UsageError('ERR_KEYMUX_CONFIG', message);
}

/** Half of what a generation can seal in one direction (spec 4.1). */
const ENVELOPES = 2 ** 31;
/** After a request, before the next. */
const PAUSE = 10_000;
