import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { SocketHandle } from '@keymux/streams';
import { type Message, parseMessage } from './messages.ts';

interface ChannelEvents {
  /** A handle that comes along belongs to who listens, and must be closed. */
  message: [message: Message, handle: SocketHandle | undefined];
  /** The other process, or its end of the channel, is gone. */
  close: [];
}

/** Hand-overs' use of the channel between a process and its parent, beside whatever else is said there. */
export class Channel extends EventEmitter<ChannelEvents> {
  readonly #port: ChildProcess | NodeJS.Process;

  /** `port` is `process` in a child, and the ChildProcess in its parent. Each must have one Channel only. */
  constructor(port: ChildProcess | NodeJS.Process) {
    super();
    this.setMaxListeners(0);
    this.#port = port;
    port.on('message', (value: unknown, handle: unknown) => {
      const message = parseMessage(value);
      if (message === undefined && !isOurs(value)) return;
      // The other process says what its handles become here: one that is a socket would be read from.
      const wanted = message?.type === 'hand-over.socket' && isBare(handle);
      if (handle !== undefined && !wanted) drop(handle);
      if (message !== undefined) this.emit('message', message, wanted ? handle : undefined);
    });
    port.on('disconnect', () => this.emit('close'));
  }

  get closed(): boolean {
    return !this.#port.connected;
  }

  /**
   * Sends; `done` is called when that has succeeded or failed, but not if the channel closes first. What is sent to who is gone is lost without an error:
   * `close` tells. A handle that is closed before it is its turn is not sent, nor the message.
   */
  send(message: Message, handle?: SocketHandle, done?: (error?: Error | null) => void): void {
    if (this.closed) return;
    // By this form net.Native, a handle as it is: neither side makes a socket of it, which would begin to read.
    this.#port.send?.(message, handle as never, {}, (error) => done?.(error));
  }
}

function isBare(handle: unknown): handle is SocketHandle {
  return (
    typeof handle === 'object' && handle !== null && !(handle instanceof EventEmitter) && 'close' in handle
  );
}

function drop(handle: unknown): void {
  const { destroy, close } = Object(handle) as { destroy?: () => void; close?: () => void };
  if (destroy !== undefined) destroy.call(handle);
  else close?.call(handle);
}

function isOurs(value: unknown): boolean {
  const { type } = Object(value) as { type?: unknown };
  return typeof type === 'string' && type.startsWith('hand-over.');
}
