import { ALGORITHM } from '@keymux/keys';
import { UsageError } from '@keymux/session';
import { recordNonces } from '../../support/nonces.ts';
import { must, mustEqual } from '../checks.ts';
import { attack } from './attacker.ts';
import { checkLastWords, checkNothingLeft } from './final-checks.ts';
import { Listener } from './listener.ts';
import { LABEL } from './pair.ts';
import { ATTACK, type Move, type Play } from './play.ts';
import { Users } from './users.ts';
import { World } from './world.ts';

/**
 * Two engines with real keys, over a carrier that cuts, joins and delays bytes, and a model that knows nothing of frames: what was sent on a stream arrives, in
 * order, once; what was ended ends; windows hold; keys have their levels; nothing is left over.
 */
export class Model {
  readonly #world: World;
  readonly #users: Users;
  readonly #listener: Listener;

  constructor(play: Play, attacked: boolean) {
    this.#world = new World(play, attacked);
    this.#users = new Users(this.#world);
    this.#listener = new Listener(this.#world);
  }

  /** Plays all steps. Throws Fault, or what an engine throws that it never may. */
  static async play(play: Play, attacked: boolean): Promise<void> {
    const steps: (() => unknown)[] = [];
    const nonces = recordNonces({ defer: (step) => void steps.push(step) });
    try {
      const model = new Model(play, attacked);
      if (play.keys) await model.#prepare(Math.abs(play.ready) % 4);
      if (attacked) await model.#beginToTalk();
      for (const step of play.steps) {
        try {
          await model.#step(step);
        } catch (error) {
          // Somebody on the way may end a clear stream that the user believes in.
          if (!attacked || !(error instanceof UsageError)) throw error;
        }
        model.#listener.observe();
        if (model.#world.failed) break;
      }
      if (!model.#world.failed) await (attacked ? model.#sealAndEnd() : model.#finish());
      checkLastWords(model.#world);
      mustEqual(new Set(nonces).size, nonces.length, 'nonces that are used once');
    } finally {
      for (const step of steps) step();
    }
  }

  /** Makes keys before anything happens. */
  async #prepare(keys: number): Promise<void> {
    const made = { algorithm: ALGORITHM.PSK_X25519, label: LABEL, now: 0 };
    for (let key = 0; key < keys; key++)
      this.#world.client.keys?.negotiate({ ...made, authority: key % 2 === 1 ? 'host' : '' });
    if (keys > 0) await this.#settle();
  }

  /** A stream in the clear and one with its payload outside envelopes, which somebody on the way can do most to. */
  async #beginToTalk(): Promise<void> {
    if (this.#world.keyOf(this.#world.client, 1) === 0) await this.#prepare(1);
    const move = { act: 0, server: false, which: 0, size: 100, cuts: [], damage: [] };
    this.#users.open(this.#world.client, { ...move, key: 0, flag: false });
    this.#users.open(this.#world.client, { ...move, key: 1, flag: true });
    await this.#settle();
    for (let streams = 0; streams < 2; streams++)
      this.#users.reply(this.#world.server, { ...move, key: 0, flag: false });
    for (const end of this.#world.ends) for (const which of [0, 1]) this.#users.send(end, which, 100);
  }

  async #step(move: Move): Promise<void> {
    const { act, which, size, flag } = move;
    const end = move.server ? this.#world.server : this.#world.client;
    switch (Math.abs(act) % (ATTACK + 1)) {
      case 0:
      case 1:
      case 2:
        this.#users.open(end, move);
        return;
      case 3:
      case 4:
      case 5:
      case 6:
        this.#users.send(end, which, size);
        return;
      case 7:
      case 8:
        this.#users.reply(end, move);
        return;
      case 9:
        this.#users.end(this.#world.writable(end)[which % 8], end);
        return;
      case 10:
        this.#users.headers(end, move);
        return;
      case 11:
        if (flag) this.#users.reset(end, which);
        return;
      case 12:
      case 13:
        this.#users.consume(end, (size % 100) / 50);
        return;
      case 14:
        if (flag) end.session.ping();
        return;
      case 15:
      case 16:
        this.#users.negotiate(end, move);
        return;
      case 17:
        this.#users.renegotiate(end, move);
        return;
      case 18:
        this.#users.retire(end, move);
        return;
      case 19:
      case 20:
        this.#users.switch(end, move);
        return;
      case 21:
        if (which === 3 && size % 3 === 0) end.session.goAway();
        return;
      case 22:
      case 23:
        await new Promise(setImmediate);
        return;
      case ATTACK:
        if (!this.#world.attacked) return;
        end.put(undefined, false);
        end.flight = attack(end.flight, move);
        this.#world.deliver(end, Number.POSITIVE_INFINITY, move.cuts);
        return;
      default:
        end.put(flag ? undefined : size, !this.#world.attacked);
        this.#world.deliver(end, flag ? Number.POSITIVE_INFINITY : size, move.cuts);
    }
  }

  /** Ends everything properly and lets bytes go until all is quiet. */
  async #finish(): Promise<void> {
    await this.#settle(() => {
      for (const end of this.#world.ends) this.#users.consume(end, 1);
      for (const stream of this.#world.streams) this.#users.endBoth(stream);
    });
    checkNothingLeft(this.#world);
    for (const end of this.#world.ends) end.session.carrierEnded(0);
    this.#listener.observe();
  }

  /** Lets bytes go until nobody has anything to say. */
  async #settle(meanwhile: () => void = () => undefined): Promise<void> {
    for (let rounds = 0, quiet = 0; quiet < 4; rounds++) {
      must(rounds < 3000, 'the two sides never fall silent');
      if (this.#world.failed) return;
      let moved = 0;
      for (const end of this.#world.ends) {
        end.put(undefined, !this.#world.attacked);
        moved += this.#world.deliver(end, Number.POSITIVE_INFINITY, []);
        this.#listener.observe();
      }
      meanwhile();
      await new Promise(setImmediate);
      quiet = moved === 0 && this.#world.ends.every(({ flight }) => flight.length === 0) ? quiet + 1 : 0;
    }
    this.#listener.observe();
  }

  /** Moves to a key whatever is still in the clear, and ends it: what was done to it before must show now. */
  async #sealAndEnd(): Promise<void> {
    await this.#settle(() => {
      for (const end of this.#world.ends) {
        if (end.session.error !== undefined) continue;
        this.#users.consume(end, 1);
        this.#users.sealAndEnd(end);
      }
    });
  }
}
