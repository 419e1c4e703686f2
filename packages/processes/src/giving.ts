import { type Channel, give } from '@keymux/hand-over';
import type { Movable } from '@keymux/streams';
import { Collector } from './collector.ts';

/** Milliseconds until what goes on in a session must let it go; else it stays, and is drained. */
const PATIENCE = 10_000;

/** Hand-overs at a time when all sessions go: a taker takes a thousand at most. */
const LANES = 256;

/** The sessions that a process has. */
export interface Sessions {
  /** Takes no more connections; resolves when those that came before are sessions, or closed. */
  stopListening(): Promise<void>;
  /** All sessions that can be given to another process. */
  movable(): readonly Movable[];
  /** Has new sessions given to other processes by `pass`. */
  handOn(pass: (movable: Movable) => Promise<void>): void;
}

/** Gives sessions of this process to others, and knows which are on their way: until they have come, this process must not end. */
export class Giving {
  readonly #channel: Channel;
  readonly #collector = new Collector();
  readonly #underWay = new Set<Promise<void>>();

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Gives new sessions away, and keeps nothing of them for long. */
  giveNew(sessions: Sessions): void {
    sessions.handOn((movable) => this.#give(movable).finally(() => this.#collector.soon()));
  }

  /** Gives away all sessions that can be: also those of the last connections, and those that have come from elsewhere when `arrived` resolves. */
  async giveAll(sessions: Sessions, arrived: Promise<void> | undefined): Promise<void> {
    const tried = new Set<object | undefined>();
    const giveThose = async (): Promise<void> => {
      const left = sessions
        .movable()
        .filter(({ sockets: [carrier] }) => !tried.has(carrier) && tried.add(carrier));
      const lane = async (): Promise<void> => {
        for (let next = left.shift(); next !== undefined; next = left.shift())
          await this.#give(next).catch(() => undefined); // then it is drained here
      };
      await Promise.all(Array.from({ length: LANES }, lane));
    };
    const stopped = sessions.stopListening();
    await giveThose();
    await Promise.all([stopped, arrived]);
    await giveThose();
  }

  /** Resolves when none is on its way. */
  async over(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  #give(movable: Movable): Promise<void> {
    const given = give(movable, this.#channel, { timeout: PATIENCE });
    const done = given.finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
    return done;
  }
}
