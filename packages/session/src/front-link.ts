import {
  type ControlItem,
  encodeControl,
  FrameDecoder,
  FrameError,
  GOAWAY,
  type SealedItem,
} from '@keymux/frames';

/** The way to a host process. What is written to it before it is connected waits. */
export interface HostPort {
  /** Bytes that were written and that nobody has taken. */
  readonly buffered: number;
  write(parts: readonly Uint8Array[]): void;
  /** Nothing more is written. */
  end(): void;
  /** Ends both directions at once. */
  destroy(): void;
}

/** What a link tells the session that it belongs to. */
export interface LinkHooks {
  /** A KEY_NEGO frame of the host. */
  nego(link: FrontLink, keyId: number, bytes: Uint8Array): void;
  /** An envelope of the host. */
  sealed(link: FrontLink, item: SealedItem): void;
  /** Nothing comes any more. `status` is what the host said last, or the front thinks of it. */
  ended(link: FrontLink, status: number, reason: string): void;
}

/**
 * One host's end of a session, as its front sees it: frames in, frames out, none of them opened (spec 10.5). What a host does wrong ends
 * its link and nothing else.
 */
export class FrontLink {
  readonly authority: string;
  /** Keys whose frames go this way. */
  readonly keys = new Set<number>();
  readonly #hooks: LinkHooks;
  readonly #limit: number;
  readonly #decoder = new FrameDecoder({ place: 'link' });
  #port: HostPort | undefined;
  #status: number | undefined;
  #over = false;

  /** @param limit bytes that may wait for the host to take them */
  constructor(authority: string, limit: number, hooks: LinkHooks) {
    this.authority = authority;
    this.#limit = limit;
    this.#hooks = hooks;
  }

  attach(port: HostPort): void {
    this.#port = port;
  }

  /** Whether a run may still be begun here: not if the host is shutting down. */
  get takesRuns(): boolean {
    return !this.#over && this.#status === undefined;
  }

  /** Passes frames on. A host that does not read loses its link, so that it can hold neither memory nor other hosts. */
  pass(parts: readonly Uint8Array[]): void {
    if (this.#over) return;
    this.#port?.write(parts);
    if ((this.#port?.buffered ?? 0) > this.#limit) {
      this.fail(GOAWAY.INTERNAL_ERROR, `it does not take what is sent to it (${this.#limit} bytes wait)`);
    }
  }

  /** Takes bytes from the host. */
  receive(chunk: Uint8Array): void {
    if (this.#over) return;
    this.#decoder.push(chunk);
    try {
      for (let item = this.#decoder.next(); item !== undefined && !this.#over; item = this.#decoder.next()) {
        if (item.kind === 'sealed') this.#sealed(item);
        else if (item.kind === 'control') this.#control(item);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.fail(GOAWAY.INTERNAL_ERROR, `it broke the rules: ${error.message}`);
    }
  }

  /** The connection is over; `error` says why, if it was not its proper end. */
  disconnected(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    const cut = this.#decoder.midFrame ? 'it ended inside a frame' : undefined;
    const reason =
      error?.message ?? cut ?? FAREWELLS.get(this.#status) ?? `it ended with status ${this.#status}`;
    this.#port?.destroy();
    this.#hooks.ended(this, this.#status ?? GOAWAY.INTERNAL_ERROR, reason);
  }

  /** The front ends the link because of something that the host did or did not do. */
  fail(status: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#port?.destroy();
    this.#hooks.ended(this, status, reason);
  }

  /** The client is gone. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#port?.end();
  }

  #sealed(item: SealedItem): void {
    if (this.keys.has(item.keyId)) this.#hooks.sealed(this, item);
    else this.fail(GOAWAY.INTERNAL_ERROR, `it broke the rules: key ${item.keyId} is not its own`);
  }

  #control({ frame, bytes }: ControlItem): void {
    switch (frame.type) {
      case 'key-nego':
        if (this.keys.has(frame.keyId)) this.#hooks.nego(this, frame.keyId, bytes);
        else this.fail(GOAWAY.INTERNAL_ERROR, `it broke the rules: key ${frame.keyId} is not its own`);
        return;
      case 'ping':
        this.pass([encodeControl(frame)]);
        return;
      case 'goaway':
        this.#status = frame.status;
        return;
      case 'unknown':
        return;
      default:
        this.fail(GOAWAY.INTERNAL_ERROR, `it broke the rules: ${frame.type} from a host`);
    }
  }
}

const FAREWELLS: ReadonlyMap<number | undefined, string> = new Map([
  [undefined, 'it closed the link'],
  [GOAWAY.OK, 'it has shut down'],
  [GOAWAY.KEY_FAILURE, 'it ended the session because of a key; its own log says why'],
]);
