import type { HeaderList, StateReader, StateWriter } from '@keymux/frames';
import { type Session, type SessionEvent, withoutStack } from '@keymux/session';
import { StreamResetError } from './errors.ts';
import { MuxStream, type StreamHost } from './mux-stream.ts';
import type { SessionDriver } from './session-driver.ts';
import type { MuxStreamOptions } from './stream-options.ts';

/** The open streams of a session: what they do to it, and what it tells them. */
export class SessionStreams {
  readonly #session: Session;
  readonly #driver: SessionDriver;
  readonly #open = new Map<number, MuxStream>();

  constructor(session: Session, driver: SessionDriver) {
    this.#session = session;
    this.#driver = driver;
  }

  add(options: MuxStreamOptions): MuxStream {
    const stream = new MuxStream(this.#host, options);
    this.#open.set(stream.id, stream);
    return stream;
  }

  get(id: number): MuxStream | undefined {
    return this.#open.get(id);
  }

  [Symbol.iterator](): Iterator<MuxStream> {
    return this.#open.values();
  }

  /** Writes them for another process, and ends them here with `reason`. */
  handOver(writer: StateWriter, reason: Error): void {
    writer.list(this.#open.values(), (stream) => stream.handOver(writer, reason));
    this.#open.clear();
  }

  /** Goes on with those of another process. */
  takeOver(reader: StateReader): void {
    reader.list(() => {
      const stream = MuxStream.takeOver(this.#host, reader);
      if (!this.#session.isOpen(stream.id)) throw reader.malformed('a stream is not open');
      this.#open.set(stream.id, stream);
    });
    if (this.#open.size !== this.#session.streamCount) throw reader.malformed('a stream is missing');
  }

  /** Whether the event was for a stream that is open, or was. */
  handle(event: SessionEvent): boolean {
    switch (event.type) {
      case 'reply':
        this.#open.get(event.id)?.receiveReply(event.headers, event.key);
        return true;
      case 'headers':
        this.#open.get(event.id)?.receiveHeaders(event.headers, event.key);
        return true;
      case 'data':
        this.#open.get(event.id)?.receiveData(event.payload, event.lent && this.#driver.lends);
        return true;
      case 'end':
        this.#open.get(event.id)?.receiveEnd();
        return true;
      case 'switched':
        this.#open.get(event.id)?.receiveSwitch(event.key);
        return true;
      case 'drain':
        this.#driver.drained(this.#open.get(event.id));
        return true;
      case 'reset':
        this.#detach(event.id, this.#resetError(event));
        return true;
      case 'closed':
        this.#detach(event.id, undefined);
        return true;
      default:
        return false;
    }
  }

  /** Ends those that are open: the session is over. */
  endAll(reason: Error): void {
    for (const id of [...this.#open.keys()]) this.#detach(id, reason);
  }

  #detach(id: number, error: Error | undefined): void {
    const stream = this.#open.get(id);
    this.#open.delete(id);
    stream?.detach(error);
  }

  #resetError({ id, status, origin, ...event }: SessionEvent & { type: 'reset' }): Error {
    const { error } = this.#session;
    const cause = event.cause ?? (error && this.#driver.explain(error));
    return withoutStack(() => new StreamResetError(id, status, origin, cause && { cause }));
  }

  readonly #host: StreamHost = {
    send: (id: number, chunk: Uint8Array): void => {
      this.#session.send(id, chunk);
      this.#driver.flush();
    },
    headers: (id: number, headers: HeaderList): void => {
      this.#session.headers(id, headers);
      this.#driver.flush();
    },
    end: (id: number): void => {
      this.#session.end(id);
      this.#driver.flush();
    },
    reset: (id: number, status: number): void => this.#driver.step(() => this.#session.reset(id, status)),
    consume: (id: number, bytes: number): void => {
      this.#session.consume(id, bytes, this.#driver.now());
      this.#driver.flush();
    },
    reply: (
      id: number,
      headers: HeaderList,
      options: { fin?: boolean; keyId?: number | undefined },
    ): void => {
      this.#session.reply(id, headers, options);
      this.#driver.flush();
    },
    hold: (id: number): void => this.#session.hold(id),
    letGo: (id: number): void => this.#session.letGo(id),
    switchKey: (id: number, keyId: number): void => {
      this.#session.switchKey(id, keyId);
      this.#driver.flush();
    },
  };
}
