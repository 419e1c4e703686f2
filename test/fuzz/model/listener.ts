import { ALGORITHM } from '@keymux/keys';
import type { SessionEvent } from '@keymux/session';
import { must, mustBeTyped } from '../checks.ts';
import type { End } from './pair.ts';
import { type Flow, flowOf, type Stream, type World } from './world.ts';

/** What the users of both sides hear, which is never anything but what was done. */
export class Listener {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Hears all events of both sides. Throws Fault if one of them tells what did not happen. */
  observe(): void {
    for (const end of this.#world.ends) {
      let over = false;
      for (const event of end.events()) {
        must(!over, 'the error is the last event');
        over = event.type === 'error';
        this.#hear(end, event);
      }
    }
  }

  #hear(end: End, event: SessionEvent): void {
    const stream = 'id' in event ? this.#world.streams.find(({ id }) => id === event.id) : undefined;
    const flow = stream && flowOf(stream, this.#world.peerOf(end));
    switch (event.type) {
      case 'error':
        mustBeTyped(event.error);
        if (!this.#world.attacked) throw event.error;
        this.#world.failed = true;
        return;
      case 'announced':
        this.#world.announced.add(end);
        return;
      case 'key': {
        const expected = event.key.algorithm === ALGORITHM.ANONYMOUS ? 'passive' : 'authenticated';
        // Whoever has not heard from the peer under the key has nothing proven yet, and seals nothing.
        const level = event.send && !event.key.early ? [expected] : [expected, 'none'];
        must(level.includes(event.key.level), `a key of level ${event.key.level}`);
        if (event.send && !event.key.early) this.#world.usable.get(end)?.add(event.key.keyId);
        return;
      }
      case 'key-retired':
        this.#world.usable.get(end)?.delete(event.keyId);
        return;
      case 'stream':
      case 'reply':
        if (flow === undefined || stream === undefined) return;
        if (event.type === 'stream') stream.accepted = true;
        flow.key = event.key?.keyId ?? 0;
        flow.sealed = flow.key !== 0;
        return;
      case 'switched':
        if (flow) flow.key = event.key.keyId;
        return;
      case 'data':
        if (stream && flow) this.#checkFlow(stream, flow, end, false);
        return;
      case 'end':
        if (stream && flow) this.#checkFlow(stream, flow, end, true);
        return;
      case 'drain':
        if (stream) flowOf(stream, end).undrained = false;
        return;
      case 'reset':
        if (stream) stream.reset = true;
        must(this.#world.attacked || [3, 5].includes(event.status), `a reset with status ${event.status}`);
    }
  }

  /** A direction carries exactly what was sent, up to its end. Under attack that holds for what is sealed. */
  #checkFlow(stream: Stream, flow: Flow, receiver: End, atEnd: boolean): void {
    const { id, outside } = stream;
    const received = receiver.received.get(id) ?? Buffer.alloc(0);
    const trusted =
      !this.#world.attacked || (flow.sealed && !outside) || (atEnd && flow.key !== 0 && !outside);
    if (trusted)
      must(flow.sent.subarray(0, received.length).equals(received), `stream ${id} carries other bytes`);
    if (!atEnd || (this.#world.attacked && flow.key === 0)) return;
    must(flow.ended, `stream ${id} ends before it was ended`);
    must(
      received.length === flow.sent.length,
      `stream ${id} ends after ${received.length} of ${flow.sent.length} bytes`,
    );
  }
}
