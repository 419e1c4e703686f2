import { hmacSha256 } from './crypto.ts';
import { keyFailure } from './errors.ts';
import { chainedSecret, renegotiationSecret, type SessionDigests, switchKey } from './schedule.ts';
import { Secret } from './secret.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** The secrets of a key besides those that seal and open (spec 3.5). */
export class KeySecrets {
  #exporter: Secret | undefined;
  /** What the next generation is chained to. */
  #chain: Secret | undefined;
  /** By generation, as long as the key lives: a stream may have been silent since an early one. */
  readonly #switchKeys = new Map<number, Secret>();

  get exporter(): Secret | undefined {
    return this.#exporter;
  }

  set exporter(exporter: Secret | undefined) {
    if (this.#exporter !== exporter) this.#exporter?.wipe();
    this.#exporter = exporter;
  }

  /** S of a renegotiation: `made`, mixed with the generation before (spec 3.14). Wipes both. Throws KeyError (session) if there is none to be chained to. */
  chain(made: Secret): Secret {
    const chain = this.#chain;
    if (chain === undefined) throw keyFailure('unexpected');
    const secret = chainedSecret(chain, made);
    made.wipe();
    chain.wipe();
    return secret;
  }

  /** Derives what is kept of a generation from its S. `chained` is whether there may be a next one. */
  add(generation: number, secret: Secret, digests: SessionDigests, chained: boolean): void {
    this.#chain = chained ? renegotiationSecret(secret, digests) : undefined;
    this.#switchKeys.set(generation, switchKey(secret, digests));
  }

  /** HMAC of `message` under the switch key of `generation` (spec 4.5); undefined if there is no such generation. */
  switchProof(generation: number, message: Uint8Array): Uint8Array | undefined {
    return this.#switchKeys.get(generation)?.use((bytes) => hmacSha256(bytes, message));
  }

  wipe(): void {
    this.#exporter?.wipe();
    this.#chain?.wipe();
    for (const secret of this.#switchKeys.values()) secret.wipe();
    this.#switchKeys.clear();
  }

  save(writer: StateSink): void {
    writer.optional(this.#exporter, (secret) => secret.save(writer));
    writer.optional(this.#chain, (secret) => secret.save(writer));
    writer.list(this.#switchKeys, ([generation, secret]) => {
      writer.u8(generation);
      secret.save(writer);
    });
  }

  load(reader: StateSource): void {
    this.#exporter = reader.optional(() => Secret.load(reader));
    this.#chain = reader.optional(() => Secret.load(reader));
    reader.list(() => this.#switchKeys.set(reader.u8(), Secret.load(reader)));
  }
}
