import { ciphertext, encapsulationKey, power, type Term } from './terms.ts';

/** What the attacker knows: everything he has seen, taken apart as far as his keys go, and what can be put together from it. */
export class Knowledge {
  readonly #known: Set<Term>;
  /** Envelopes that he cannot open yet. */
  readonly #locked: Set<Term>;
  /** Answers to `derives`, until he learns something. */
  #answers = new Map<Term, boolean>();

  constructor(known: Iterable<Term> = []) {
    this.#known = new Set();
    this.#locked = new Set();
    this.learn(...known);
  }

  /** A copy that knows these terms as well. */
  with(...terms: readonly Term[]): Knowledge {
    const copy = new Knowledge();
    for (const term of this.#known) copy.#known.add(term);
    for (const term of this.#locked) copy.#locked.add(term);
    copy.learn(...terms);
    return copy;
  }

  learn(...terms: readonly Term[]): void {
    for (const term of terms) this.#takeApart(term);
    for (let opened = true; opened; ) {
      opened = false;
      for (const envelope of this.#locked) opened = this.#open(envelope) || opened;
    }
  }

  #takeApart(term: Term): void {
    if (this.#known.has(term)) return;
    this.#known.add(term);
    this.#answers = new Map();
    if (term.kind === 'tuple') for (const part of term.args) this.#takeApart(part);
    // A signature hides nothing of what was signed.
    if (term.kind === 'signature') this.#takeApart(arg(term, 1));
    if (term.kind === 'sealed') this.#locked.add(term);
  }

  #open(envelope: Term): boolean {
    if (!this.derives(arg(envelope, 0))) return false;
    this.#locked.delete(envelope);
    this.#takeApart(arg(envelope, 2));
    return true;
  }

  /** Whether he can make this term. */
  derives(term: Term): boolean {
    const answer = this.#answers.get(term);
    if (answer !== undefined) return answer;
    const derived = this.#known.has(term) || this.#composes(term);
    this.#answers.set(term, derived);
    return derived;
  }

  #composes(term: Term): boolean {
    const { kind, args } = term;
    switch (kind) {
      case 'atom':
        return false;
      case 'power':
        return this.#raises(args);
      case 'encapsulated':
        return args.every((part) => this.derives(part)) || this.#decapsulates(args);
      default:
        return args.every((part) => this.derives(part));
    }
  }

  /** g is public; any other power is one that he can make, raised by an exponent that he knows. */
  #raises(exponents: readonly Term[]): boolean {
    if (exponents.length === 0) return true;
    return exponents.some(
      (exponent, index) =>
        this.derives(exponent) && this.derives(power(...exponents.filter((_, other) => other !== index))),
    );
  }

  #decapsulates([key, randomness]: readonly Term[]): boolean {
    if (key?.kind !== 'encapsulation-key' || randomness === undefined) return false;
    const decapsulationKey = arg(key, 0);
    return (
      this.derives(decapsulationKey) &&
      this.derives(ciphertext(encapsulationKey(decapsulationKey), randomness))
    );
  }
}

function arg(term: Term, index: number): Term {
  const part = term.args[index];
  if (part === undefined) throw new RangeError(`${term.kind} has no part ${index}`);
  return part;
}
