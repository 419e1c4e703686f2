import type { Keeper, Offer, RunContext, RunSecret, Step } from '@keymux/keys';

/** Passes everything on to a keeper; a test overrides what it wants to see or do. */
export class KeeperDouble implements Keeper {
  readonly inner: Keeper;

  constructor(inner: Keeper) {
    this.inner = inner;
  }

  get algorithms(): readonly number[] {
    return this.inner.algorithms;
  }

  start(context: RunContext, offer: Offer): Promise<Step> {
    return this.inner.start(context, offer);
  }

  accept(context: RunContext, first: Uint8Array): Promise<Step> {
    return this.inner.accept(context, first);
  }

  receive(run: number, frame: Uint8Array): Promise<Step> {
    return this.inner.receive(run, frame);
  }

  abandon(run: number): void {
    this.inner.abandon(run);
  }
}

/** Knows what steps it is at: those that are taken in threads need more than a turn of the event loop. */
export class WatchedKeeper extends KeeperDouble {
  readonly #steps = new Set<Promise<Step>>();

  /** Waits until it is at none. */
  async idle(): Promise<void> {
    while (this.#steps.size > 0) await Promise.allSettled(this.#steps);
  }

  override start(context: RunContext, offer: Offer): Promise<Step> {
    return this.#watch(super.start(context, offer));
  }

  override accept(context: RunContext, first: Uint8Array): Promise<Step> {
    return this.#watch(super.accept(context, first));
  }

  override receive(run: number, frame: Uint8Array): Promise<Step> {
    return this.#watch(super.receive(run, frame));
  }

  #watch(step: Promise<Step>): Promise<Step> {
    this.#steps.add(step);
    const over = (): void => void this.#steps.delete(step);
    step.then(over, over);
    return step;
  }
}

/** Gives away every run secret, as a side that cheats does. */
export class LeakyKeeper extends KeeperDouble {
  readonly secrets: string[] = [];

  override start(context: RunContext, offer: Offer): Promise<Step> {
    return this.#leak(super.start(context, offer));
  }

  override accept(context: RunContext, first: Uint8Array): Promise<Step> {
    return this.#leak(super.accept(context, first));
  }

  override receive(run: number, frame: Uint8Array): Promise<Step> {
    return this.#leak(super.receive(run, frame));
  }

  async #leak(step: Promise<Step>): Promise<Step> {
    const done = await step;
    this.secrets.push(...done.secrets.map(hexOf));
    return done;
  }
}

function hexOf({ secret }: RunSecret): string {
  return secret.use((bytes) => Buffer.from(bytes).toString('hex'));
}
