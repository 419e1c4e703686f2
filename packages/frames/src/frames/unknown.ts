/**
 * A control frame of a type that this receiver does not know, or has not announced to know: skipped (spec 1.6).
 * It is reported because it costs the sender budget (7.3) and enters the session digest (3.6). It has no encoder.
 */
export interface UnknownControl {
  readonly type: 'unknown';
  /** The type on the wire, 16 bits. */
  readonly code: number;
  readonly flags: number;
  /** Bytes after the head, at most 65,546 (1.7). */
  readonly length: number;
}
