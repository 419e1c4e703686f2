import type { SocketHandle } from '@keymux/streams';
import type { Channel } from './channel.ts';
import type { Message, Offer } from './messages.ts';

/** Who is to take what a process offers; undefined if nobody can. */
export type Choose = (offer: Offer, giver: Channel) => Channel | undefined;

interface Passage {
  readonly giver: Channel;
  readonly taker: Channel;
}

/**
 * Passes hand-overs on between processes that have a channel to this one and none to each other. It never reads from a socket that it passes on, and the state is
 * sealed for the taker.
 */
export class Relay {
  readonly #choose: Choose;
  readonly #passages = new Map<string, Passage>();
  /** Handles that were given to a channel and are not sent yet. */
  readonly #sending = new Map<SocketHandle, Channel>();

  constructor(choose: Choose) {
    this.#choose = choose;
  }

  /** Serves a process, whether it gives or takes. */
  connect(channel: Channel): void {
    channel.on('message', (message, handle) => this.#receive(channel, message, handle));
    channel.on('close', () => this.#closed(channel));
  }

  #receive(from: Channel, message: Message, handle: SocketHandle | undefined): void {
    if (message.type === 'hand-over.offer') this.#offer(from, message);
    const to = this.#otherSide(from, message.name);
    if (to === undefined || to.closed) {
      handle?.close();
      return;
    }
    this.#pass(to, message, handle);
    const { type } = message;
    if (type === 'hand-over.taken' || type === 'hand-over.refused' || type === 'hand-over.withdrawn')
      this.#passages.delete(message.name);
  }

  #offer(giver: Channel, offer: Offer): void {
    const taker = this.#passages.has(offer.name) ? undefined : this.#choose(offer, giver);
    if (taker !== undefined && !taker.closed) this.#passages.set(offer.name, { giver, taker });
    else giver.send({ type: 'hand-over.refused', name: offer.name, reason: 'nobody is there to take it' });
  }

  #otherSide(from: Channel, name: string): Channel | undefined {
    const passage = this.#passages.get(name);
    if (passage?.giver === from) return passage.taker;
    return passage?.taker === from ? passage.giver : undefined;
  }

  #pass(to: Channel, message: Message, handle: SocketHandle | undefined): void {
    if (handle === undefined) {
      to.send(message);
      return;
    }
    this.#sending.set(handle, to);
    to.send(message, handle, () => this.#sent(handle));
  }

  /** This process' end of a socket; the others have theirs. */
  #sent(handle: SocketHandle): void {
    if (this.#sending.delete(handle)) handle.close();
  }

  #closed(channel: Channel): void {
    for (const [handle, to] of [...this.#sending]) if (to === channel) this.#sent(handle);
    for (const [name, { giver, taker }] of [...this.#passages]) {
      if (giver !== channel && taker !== channel) continue;
      this.#passages.delete(name);
      if (giver === channel) taker.send({ type: 'hand-over.withdrawn', name });
      else
        giver.send({ type: 'hand-over.refused', name, reason: 'the process that was to take it has ended' });
    }
  }
}
