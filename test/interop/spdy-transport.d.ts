/** As much of npm's spdy-transport as the tests use; it has no types of its own. */
declare module 'spdy-transport' {
  import type { EventEmitter } from 'node:events';
  import type { Duplex } from 'node:stream';

  type Headers = Record<string, string>;

  interface PeerStream extends Duplex {
    readonly id: number;
    readonly method: string;
    readonly path: string;
    readonly host: string;
    readonly headers: Headers;
    respond(status: number, headers: Headers): void;
    sendHeaders(headers: Headers): void;
    abort(code: string): void;
  }

  interface PeerConnection extends EventEmitter {
    start(version: number): void;
    ping(done: (error: Error | null) => void): void;
    /** Sends GOAWAY, and closes when the open streams have ended. */
    end(done?: () => void): void;
    request(
      request: { method: string; path: string; host: string; headers: Headers },
      done: (error: Error | null, stream: PeerStream) => void,
    ): PeerStream;
  }

  export const connection: {
    create(
      carrier: Duplex,
      options: { protocol: 'spdy'; isServer: boolean; windowSize?: number },
    ): PeerConnection;
  };
}
