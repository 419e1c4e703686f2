import type { Duplex } from 'node:stream';
import type { Stage } from './stage.ts';

/** The client's end of a connection that is ready: how it gets byte streams to the origin. */
export interface Connection {
  /** A new byte stream to the origin, over this connection. */
  open(): Promise<Duplex>;
  close(): void;
}

/** What a client process runs. */
export interface Dialer {
  /** A connection that streams are opened over. For peers that make a TCP connection for each stream, a place-holder. */
  connect(): Promise<Connection>;
}

/** Where a client process finds its dialer: a function of a module under `contenders/`, and what it is called with. */
export interface ClientPart {
  readonly module: string;
  readonly params: unknown;
}

export interface Contender {
  /** As on the command line and in JSON. */
  readonly name: string;
  /** What it is, in a line. */
  readonly title: string;
  /** Who protects what. */
  readonly protection: 'none' | 'hop' | 'end to end';
  /** Debian package or npm module that must be there, and what tells its version; undefined if it is missing. */
  readonly needs?: { readonly what: string; readonly version: () => string | undefined };
  /** What of T7 says something about it; both if this is missing. */
  readonly onLinks?: 'throughput' | 'first byte';
  /** Starts its origin and proxy, and says what a client has to do. */
  start(stage: Stage): Promise<ClientPart>;
}
