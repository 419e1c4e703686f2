/**
 * Messages as terms, in the manner of Dolev and Yao: cryptography is perfect, and two terms are equal only if they were made in the same way, but for
 * the order of exponents. Terms are interned: equal terms are the same object.
 */
export interface Term {
  readonly id: number;
  readonly kind: Kind;
  readonly name: string;
  readonly args: readonly Term[];
}

type Kind =
  | 'atom' // a value that nobody can compute: nonces, exponents, keys, names
  | 'tuple'
  | 'function' // one-way, free: hash, HMAC, HKDF, PBKDF2
  | 'power' // g^(a b ...)
  | 'sealed' // AEAD: key, additional data, plaintext
  | 'signature' // private key, message
  | 'public' // public key of a private key
  | 'encapsulation-key' // of a decapsulation key
  | 'ciphertext' // KEM: encapsulation key, randomness
  | 'encapsulated'; // KEM: the secret in that ciphertext

const interned = new Map<string, Term>();

function make(kind: Kind, name: string, args: readonly Term[]): Term {
  const key = `${kind} ${name} ${args.map(({ id }) => id).join(' ')}`;
  const known = interned.get(key);
  if (known !== undefined) return known;
  const term: Term = { id: interned.size, kind, name, args };
  interned.set(key, term);
  return term;
}

export const atom = (name: string): Term => make('atom', name, []);
/** What everybody knows: texts, names, labels. */
export const constant = (name: string): Term => make('function', name, []);
export const tuple = (...parts: Term[]): Term => make('tuple', '', parts);
export const apply = (name: string, ...args: Term[]): Term => make('function', name, args);
export const sealed = (key: Term, additional: Term, plaintext: Term): Term =>
  make('sealed', '', [key, additional, plaintext]);
export const signature = (privateKey: Term, message: Term): Term =>
  make('signature', '', [privateKey, message]);
export const publicKey = (privateKey: Term): Term => make('public', '', [privateKey]);
export const encapsulationKey = (decapsulationKey: Term): Term =>
  make('encapsulation-key', '', [decapsulationKey]);
export const ciphertext = (key: Term, randomness: Term): Term => make('ciphertext', '', [key, randomness]);
export const encapsulated = (key: Term, randomness: Term): Term =>
  make('encapsulated', '', [key, randomness]);

/** g to the product of these exponents, which commute. Without exponents it is g. */
export const power = (...exponents: Term[]): Term =>
  make(
    'power',
    '',
    [...exponents].sort((a, b) => a.id - b.id),
  );

/** base^exponent, as who knows the exponent computes it. */
export const raise = (base: Term, exponent: Term): Term => power(...base.args, exponent);

/** What a holder of the decapsulation key gets from a ciphertext: if it is for another key, a secret that nobody else knows (implicit rejection). */
export function decapsulate(decapsulationKey: Term, sent: Term): Term {
  const [key, randomness] = sent.args;
  return key === encapsulationKey(decapsulationKey) && randomness !== undefined
    ? encapsulated(key, randomness)
    : apply('implicit-rejection', decapsulationKey, sent);
}

/** For people. */
export function show({ kind, name, args }: Term): string {
  if (kind === 'atom') return name;
  if (kind === 'function' && args.length === 0) return name;
  return `${kind === 'function' ? name : kind}(${args.map(show).join(', ')})`;
}
