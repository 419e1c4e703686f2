import type { ChildProcess, SendHandle } from 'node:child_process';
import { Socket } from 'node:net';
import { Channel } from '@keymux/hand-over';

/** One end of a channel between two processes. Sending never throws: who has gone hears nothing, and `closed` tells the other. */
export interface Port {
  /** `handle` is a socket, or what a socket listens with; it belongs to the other process then. */
  send(message: object, handle?: unknown): void;
  /** Called once. What has come before waits for it. */
  receive(listener: (message: unknown, handle: unknown) => void): void;
  readonly closed: Promise<void>;
}

/** The channel to a child that was started with one. */
export function childPort(child: ChildProcess): Port {
  return channel(child, new Promise((resolve) => child.once('disconnect', resolve)));
}

/** The channel to whoever has started this process. Throws TypeError if there is none. */
export function parentPort(): Port {
  if (process.send === undefined) throw new TypeError('this process was not started with a channel');
  const closed = new Promise<void>((resolve) => {
    if (process.connected) process.once('disconnect', resolve);
    else resolve(); // while this program was being loaded
  });
  return channel(process, closed);
}

/** The same channel as hand-overs use it. */
export function parentChannel(): Channel {
  return new Channel(process);
}

function channel(end: ChildProcess | NodeJS.Process, closed: Promise<void>): Port {
  return {
    send: (message, handle) => {
      if (end.connected) end.send?.(message, handle as SendHandle, {}, () => undefined);
      else if (handle instanceof Socket) handle.destroy();
    },
    receive: (listener) => void end.on('message', listener),
    closed,
  };
}

/** Both ends of a channel within this process, for roles that run in one. Messages are copied as between processes. */
export function portPair(): readonly [Port, Port] & { close(): void } {
  const ends = [new LocalEnd(), new LocalEnd()] as const;
  const closed = new Promise<void>((resolve) => {
    ends[0].onClose = resolve;
  });
  let open = true;
  const portOf = (from: LocalEnd, to: LocalEnd): Port => ({
    send: (message, handle) => {
      if (open) to.take(JSON.parse(JSON.stringify(message)), handle);
    },
    receive: (listener) => from.hear(listener),
    closed,
  });
  const pair = [portOf(ends[0], ends[1]), portOf(ends[1], ends[0])] as const;
  const close = (): void => {
    open = false;
    ends[0].onClose();
  };
  return Object.assign(pair, { close });
}

class LocalEnd {
  onClose: () => void = () => undefined;
  readonly #waiting: (readonly [unknown, unknown])[] = [];
  #listener: ((message: unknown, handle: unknown) => void) | undefined;

  hear(listener: (message: unknown, handle: unknown) => void): void {
    this.#listener = listener;
    for (const [message, handle] of this.#waiting.splice(0)) this.take(message, handle);
  }

  take(message: unknown, handle: unknown): void {
    if (this.#listener === undefined) this.#waiting.push([message, handle]);
    else setImmediate(this.#listener, message, handle);
  }
}
