import type { HeaderList } from '@keymux/frames';
import type { NegoDescription } from '@keymux/keys';
import type { Side } from './carrier-reader.ts';

/** One frame as it was seen. */
export interface TraceRecord {
  /** Milliseconds since 1970-01-01 UTC. */
  readonly time: number;
  readonly from: Side;
  /** As in the specification: `SYN_STREAM`, `DATA`, `SEALED`, …; `UNKNOWN` for a type that it does not have, `ERROR` where nothing more can be read. */
  readonly type: string;
  /** Bytes of the frame, with its head. */
  readonly bytes: number;
  /** The streams that the session runs inside of, outermost first; missing on the connection itself. */
  readonly tunnel?: readonly number[];
  readonly stream?: number;
  readonly flags?: readonly string[];
  /** The envelope that it stood in; missing in the clear. */
  readonly under?: { readonly keyId: number; readonly generation: number };
  readonly headers?: HeaderList;
  readonly nego?: NegoDescription;
  /** Other fields, by their names in the specification. */
  readonly fields?: Readonly<Record<string, number | string | boolean>>;
  /** Payload of DATA, if it was asked for. */
  readonly payload?: Uint8Array;
}
