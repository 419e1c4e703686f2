import { GOAWAY, RST } from '@keymux/frames';
import { algorithmName } from '@keymux/keys';

const RST_NAMES = new Map<number, string>(Object.entries(RST).map(([name, status]) => [status, name]));
const GOAWAY_NAMES = new Map<number, string>(Object.entries(GOAWAY).map(([name, status]) => [status, name]));

/** The stream ended before its time, by RST_STREAM of either side or with its session. */
export class StreamResetError extends Error {
  override readonly name = 'StreamResetError';
  readonly code = 'ERR_KEYMUX_STREAM_RESET';
  readonly scope = 'stream';
  readonly status: number;
  readonly origin: 'local' | 'remote';

  constructor(streamId: number, status: number, origin: 'local' | 'remote', options?: ErrorOptions) {
    const by = origin === 'remote' ? 'by the peer' : 'by this side';
    super(`stream ${streamId} was reset ${by}: ${RST_NAMES.get(status) ?? `status ${status}`}`, options);
    this.status = status;
    this.origin = origin;
  }
}

/** The peer ended the session with an error status. */
export class PeerGoneError extends Error {
  override readonly name = 'PeerGoneError';
  readonly scope = 'session';
  readonly origin = 'remote';
  readonly code: string;
  readonly status: number;

  constructor(status: number) {
    const key = status === GOAWAY.KEY_FAILURE;
    super(
      key
        ? 'the peer ended the session because of a key: it may hold another key under this label, not know the label or the identity, ' +
            'not accept it for this host, have a clock that is more than 30 seconds off, or have noticed tampering; it does not tell which'
        : `the peer ended the session: ${GOAWAY_NAMES.get(status) ?? `status ${status}`}`,
    );
    this.status = status;
    this.code = key ? 'ERR_KEYMUX_KEY_FAILURE' : 'ERR_KEYMUX_PEER_GONE';
  }
}

/** The peer answered a negotiation with REJECT (spec 3.3). */
export class NegotiationRejectedError extends Error {
  override readonly name = 'NegotiationRejectedError';
  readonly code = 'ERR_KEYMUX_NEGOTIATION_REJECTED';
  readonly reason: number;
  /** The ALG_IDs that the peer would accept. */
  readonly algorithms: readonly number[];

  /** `explanation` says more than the reason by itself. */
  constructor(reason: number, algorithms: readonly number[], explanation?: string) {
    const reasons = new Map([
      [1, 'it does not know the algorithm'],
      [2, 'it does not allow the algorithm'],
      [3, 'it has too many negotiations in progress'],
      [4, 'it does not renegotiate'],
      [5, 'it cannot negotiate at the moment; try again later'],
    ]);
    const accepted = algorithms.map(algorithmName).join(', ');
    const list = accepted && `; it would accept ${accepted}`; // with reasons 3 to 5 it may be left out
    const why = explanation ?? `${reasons.get(reason) ?? `reason ${reason}`}${list}`;
    super(`the peer rejected the negotiation: ${why}`);
    this.reason = reason;
    this.algorithms = algorithms;
  }
}

/** The HTTP server did not agree to an upgrade to SPDY/3.1 (spec 6.3). */
export class UpgradeError extends Error {
  override readonly name = 'UpgradeError';
  readonly code = 'ERR_KEYMUX_UPGRADE';
}
