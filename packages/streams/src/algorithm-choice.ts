import { ALGORITHM, algorithmName, REJECT_REASON } from '@keymux/keys';
import { UsageError } from '@keymux/session';
import { NegotiationRejectedError } from './errors.ts';

/** Bit n, of value 2^n, is ALG_ID n (spec 2.6, 3.4). */
export function bitSet(ids: Iterable<number>): number {
  return [...new Set(ids)].reduce((bits, id) => bits + 2 ** id, 0);
}

/**
 * Which algorithm one negotiation uses: the best of this side's own list, and after each REJECT the best that is left of it and that the
 * peer names (spec 3.3). The peer can make it fail; it cannot make it take anything else.
 */
export class AlgorithmChoice {
  /** In the order of preference. */
  readonly accepted: readonly number[];
  /** Those of them that a run may begin with. */
  readonly #possible: readonly number[];
  /** ALG_ID to the reason of the REJECT. */
  readonly #rejected = new Map<number, number>();
  #next: number;

  /** `announced` is the bit set of what may be begun at all. Throws UsageError if nothing is left. */
  constructor(algorithm: number | readonly number[], announced = 0) {
    this.accepted = typeof algorithm === 'number' ? [algorithm] : [...algorithm];
    if (this.accepted.length > 1 && this.accepted.includes(ALGORITHM.ANONYMOUS)) {
      const message =
        'an anonymous key never takes the place of one that proves the peer: negotiate it by itself';
      throw new UsageError('ERR_KEYMUX_ARGUMENT', message);
    }
    if (this.accepted.length === 0)
      throw new UsageError('ERR_KEYMUX_ARGUMENT', 'name at least one algorithm');
    this.#possible = this.accepted.filter((id) => ((announced >>> id) & 1) === 1);
    const [first] = this.#possible;
    if (first === undefined) {
      const message = `the client has announced none of ${names(this.accepted)} (spec 2.6)`;
      throw new UsageError('ERR_KEYMUX_NOT_ANNOUNCED', message);
    }
    this.#next = first;
  }

  get next(): number {
    return this.#next;
  }

  /** The peer has turned `next` down. Throws NegotiationRejectedError if that was the last that both sides have. */
  rejected({ reason, algorithms }: NegotiationRejectedError): void {
    this.#rejected.set(this.#next, reason);
    const choosable = reason === REJECT_REASON.UNKNOWN_ALGORITHM || reason === REJECT_REASON.NOT_ALLOWED;
    const next = this.#possible.find((id) => algorithms.includes(id) && !this.#rejected.has(id));
    if (!choosable) throw new NegotiationRejectedError(reason, algorithms);
    if (next === undefined) throw new NegotiationRejectedError(reason, algorithms, this.#explain(algorithms));
    this.#next = next;
  }

  /** Which side lacks what. */
  #explain(theirs: readonly number[]): string {
    const tried = [...this.#rejected].map(([id, reason]) => {
      const lack = reason === REJECT_REASON.UNKNOWN_ALGORITHM ? 'does not know' : 'does not allow';
      return `${lack} ${algorithmName(id)}`;
    });
    return (
      `no algorithm suits both sides: the peer ${tried.join(' and ')}; it would accept ${names(theirs)}, ` +
      `this side ${names(this.accepted)}. Allow one of the same on both sides`
    );
  }
}

function names(ids: readonly number[]): string {
  return ids.map(algorithmName).join(', ') || 'none';
}
