import type { Readable } from 'node:stream';
import type { HeaderList } from '@keymux/frames';
import type { RequestHead, StreamSecurity } from '@keymux/streams';

/** A request as a handler gets it. */
export interface OriginRequest extends RequestHead {
  /** The body. What is not read when the answer is out is thrown away. */
  readonly body: Readable;
  /**
   * Of all that has come so far, and what comes now: read it again after the body. The client may switch the stream to a key at any
   * time; what came in the clear gains nothing from it.
   */
  readonly security: StreamSecurity;
  /**
   * Makes sure that the answer will be sealed: at once if the request was, otherwise by prompting the client to negotiate the host's
   * key. Rejects with SealingUnavailableError if the client cannot, or the host has no key to prompt with.
   */
  sealAnswer(): Promise<void>;
}

export interface OriginResponse {
  readonly status: number;
  readonly headers?: HeaderList;
  readonly body?: string | Uint8Array | Readable;
}

/** Answers requests of one host. What it throws is answered with 500 and logged. */
export type Handler = (request: OriginRequest) => OriginResponse | Promise<OriginResponse>;

/** The client cannot be prompted to negotiate a key. */
export class SealingUnavailableError extends Error {
  override readonly name = 'SealingUnavailableError';
  readonly code = 'ERR_KEYMUX_SEALING_UNAVAILABLE';
}
