/** What went wrong with one party. Sessions say no more than "the peer", and on a way there are several. */
export class PartyError extends Error {
  override readonly name = 'PartyError';
  /** Undefined where the cause has one that says more. */
  readonly code: 'ERR_KEYMUX_NO_ANSWER' | undefined;

  constructor(message: string, cause: unknown, code?: 'ERR_KEYMUX_NO_ANSWER') {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * Connects to a party, negotiates with it or asks it. Rejects with PartyError, which names it, where the error alone would not say whose key does not fit, or
 * that there may be no server of this kind; else with the error as it is.
 */
export async function withParty<T>(party: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw named(party, error);
  }
}

function named(party: string, error: unknown): unknown {
  const facts = factsOf(error);
  const has = (...codes: readonly string[]): boolean => facts.some(({ code }) => codes.includes(code));
  if (has(...CLEAR_ENOUGH) || facts.some(({ syscall }) => syscall === 'connect')) return error;
  if (has('ERR_KEYMUX_NEGOTIATION_REJECTED'))
    return new PartyError(`no key could be negotiated with ${party}`, error);
  const silent =
    has('ERR_KEYMUX_CARRIER', 'ERR_KEYMUX_CARRIER_ENDED', 'ERR_KEYMUX_TIMEOUT', 'ECONNRESET') ||
    facts.some(({ code, reason }) => code.startsWith('HPE_') || reason === 'timeout');
  if (silent)
    return new PartyError(
      `${party} does not answer, or not as a keymux server does: see that one is running there, and that the port is right`,
      error,
      'ERR_KEYMUX_NO_ANSWER',
    );
  if (has('ERR_KEYMUX_KEY_FAILURE'))
    return new PartyError(
      `the keys of this side and of ${party} do not fit, or somebody has tampered`,
      error,
    );
  return error;
}

/** These name their place or their party themselves, or have a meaning of their own, whatever they were caused by. */
const CLEAR_ENOUGH = [
  'ERR_KEYMUX_KEEPER_AWAY',
  'ERR_KEYMUX_REFUSED',
  'ERR_KEYMUX_HOST_GONE',
  'ERR_KEYMUX_GOING_AWAY',
];

interface Fact {
  /** Empty without one. HPE_... are those of Node's HTTP parser. */
  readonly code: string;
  readonly reason: unknown;
  readonly syscall: unknown;
}

/** What can be told from an error and from what it was caused by. */
function factsOf(error: unknown): Fact[] {
  const facts: Fact[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code, reason, syscall } = cause as Error & Record<string, unknown>;
    facts.push({ code: typeof code === 'string' ? code : '', reason, syscall });
  }
  return facts;
}
