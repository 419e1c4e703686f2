import type { WindowShare } from '@keymux/session';

/** By how much windows may grow, of all sessions together and of those of one client, in bytes (spec 7.3). */
export interface WindowLimits {
  readonly windowGrowth: number;
  readonly windowGrowthPerClient: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_WINDOW_LIMITS: WindowLimits = {
  windowGrowth: 256 * MIB,
  windowGrowthPerClient: 128 * MIB,
};

/** The share of one session. */
export interface ClosableShare extends WindowShare {
  /** Gives back what it has, but for `lingering` bytes, which are given as payload that is still held is consumed. */
  close(lingering?: number): void;
}

/** What the windows of all sessions of a server, or of a process, grow by: peers can fill it, so it is memory. */
export class WindowPool {
  #limits: WindowLimits;
  readonly #taken = new Map<string, number>();
  #total = 0;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  /** By how much windows have grown. */
  get taken(): number {
    return this.#total;
  }

  /** Sets other limits. What has been taken stays so. */
  reconfigure(limits: WindowLimits): void {
    this.#limits = limits;
  }

  /** For a new session; `client` stands for everybody who counts as one (spec 7.4). */
  share(client: string): ClosableShare {
    let taken = 0;
    const add = (bytes: number): void => {
      taken += bytes;
      this.#add(client, bytes);
    };
    return {
      take: (bytes) => {
        const { windowGrowth, windowGrowthPerClient } = this.#limits;
        const ofClient = windowGrowthPerClient - (this.#taken.get(client) ?? 0);
        const room = Math.max(0, Math.min(bytes, ofClient, windowGrowth - this.#total));
        add(room);
        return room;
      },
      adopt: add,
      give: (bytes) => add(-Math.min(bytes, taken)),
      close: (lingering = 0) => add(Math.min(lingering, taken) - taken),
    };
  }

  #add(client: string, bytes: number): void {
    const taken = (this.#taken.get(client) ?? 0) + bytes;
    if (taken === 0) this.#taken.delete(client);
    else this.#taken.set(client, taken);
    this.#total += bytes;
  }
}
