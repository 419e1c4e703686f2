import type { HeaderList } from '@keymux/frames';
import type { KeyGoneError, SessionError } from './errors.ts';
import type { KeyInfo } from './key-port.ts';

/** What the session tells its user. Polled with `nextEvent`, in the order in which things happened on the wire. */
export type SessionEvent =
  /** The peer opened a stream. `key` is what its SYN_STREAM was sealed under, undefined if it came in the clear. */
  | {
      readonly type: 'stream';
      readonly id: number;
      readonly headers: HeaderList;
      readonly priority: number;
      readonly associatedId: number;
      /** The peer wants no answer. */
      readonly unidirectional: boolean;
      /** DATA travels outside envelopes (spec 4.6). */
      readonly payloadOutside: boolean;
      readonly key: KeyInfo | undefined;
    }
  /** The peer answered a stream of ours. */
  | {
      readonly type: 'reply';
      readonly id: number;
      readonly headers: HeaderList;
      readonly key: KeyInfo | undefined;
    }
  | {
      readonly type: 'headers';
      readonly id: number;
      readonly headers: HeaderList;
      readonly key: KeyInfo | undefined;
    }
  /** Payload, which must be given back with `consume`. If it is `lent` it is a view into the chunk that `receive` was given, else memory of its own. */
  | { readonly type: 'data'; readonly id: number; readonly payload: Uint8Array; readonly lent: boolean }
  /** The peer has ended its direction of the stream properly. */
  | { readonly type: 'end'; readonly id: number }
  /** The peer's direction of the stream travels under another key from here on. */
  | { readonly type: 'switched'; readonly id: number; readonly key: KeyInfo }
  /** All that was queued for the stream, or a head that ends our direction, has been handed out by `output`. */
  | { readonly type: 'drain'; readonly id: number }
  /** The stream ended before its time. `origin` says who reset it. */
  | {
      readonly type: 'reset';
      readonly id: number;
      readonly status: number;
      readonly origin: 'local' | 'remote';
      /** Why, if it is more than the status says. */
      readonly cause?: Error;
    }
  /** The stream is over in both directions, properly or by reset, and forgotten. */
  | { readonly type: 'closed'; readonly id: number }
  /** A key can be used: for sealing, opening, or both. */
  | { readonly type: 'key'; readonly key: KeyInfo; readonly send: boolean; readonly receive: boolean }
  | {
      readonly type: 'key-rejected';
      readonly keyId: number;
      readonly reason: number;
      readonly algorithms: readonly number[];
    }
  /** Both sides have retired the key; it is forgotten. */
  | { readonly type: 'key-retired'; readonly keyId: number }
  /** A run that this side began could not be begun, because of our own keys; nothing was sent and the session goes on. */
  | { readonly type: 'key-failed'; readonly keyId: number; readonly error: Error }
  /** Behind a front: the host takes no more streams under this key. Those that it did not handle are reset. */
  | { readonly type: 'key-leaving'; readonly keyId: number }
  /** Behind a front: the host of this key is gone, and with it the key and its streams. */
  | { readonly type: 'key-gone'; readonly keyId: number; readonly error: KeyGoneError }
  /** The peer announced keymux: the ALG_IDs it knows as a bit set, and (a client) its nesting depth. */
  | { readonly type: 'announced'; readonly algorithms: number; readonly depth: number }
  | { readonly type: 'pong'; readonly id: number; readonly elapsed: number }
  /** The peer takes no more streams; ours above `lastGoodId` are reset: they were not handled and may be tried elsewhere. */
  | { readonly type: 'goaway'; readonly lastGoodId: number; readonly status: number }
  /** The session is over because of an error. The remaining output (a GOAWAY) should still be sent. */
  | { readonly type: 'error'; readonly error: SessionError };
