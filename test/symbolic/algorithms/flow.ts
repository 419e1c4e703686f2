import {
  type Algorithm,
  type Belief,
  type Bindings,
  bound,
  NO_PAST,
  type Party,
  type Sibling,
  type Sort,
  type Step,
} from '../script.ts';
import { atom, constant, type Term } from '../terms.ts';
import { firstEnvelope, keyBelief, runBelief } from './common.ts';

type Role = Party['role'];

/** An algorithm as its chapter tells it: what each message carries, and what comes out. */
export interface Flow {
  readonly name: string;
  /** Fresh values of each side. */
  readonly fresh: Readonly<Record<Role, readonly string[]>>;
  /** What each side makes public of its fresh values, by the names that the messages use. */
  readonly own: Readonly<Record<Role, (fresh: Bindings) => Bindings>>;
  /** What each message brings to its receiver. */
  readonly brings: readonly Readonly<Record<string, Sort>>[];
  /** F_n as a side of the run makes it or accepts it; undefined: it refuses. */
  message(n: number, party: Party, bindings: Bindings): Term | undefined;
  /** Whether the receiver of F_n refuses it for what it has seen elsewhere. */
  refuses?(n: number, party: Party, bindings: Bindings, siblings: readonly Sibling[]): boolean;
  secret(party: Party, bindings: Bindings): Term;
  /** Whom a side has to do with, as far as the run says it. */
  peer(party: Party, bindings: Bindings): string | undefined;
  /** What a side claims once it has taken F_n and answered it. By default the last message proves the responder, and the first envelope the initiator. */
  claims?(n: number, party: Party, bindings: Bindings): Pick<Belief, 'running' | 'commit'>;
}

export function algorithm(flow: Flow): Algorithm {
  const { name, brings } = flow;
  const last = brings.length;

  function start(party: Party): Bindings {
    const { role, session } = party;
    const fresh = Object.fromEntries(
      flow.fresh[role].map((value) => [value, atom(`${value} of ${session}`)]),
    );
    const own = { ...fresh, ...flow.own[role](fresh) };
    if (role === 'responder') return own;
    const [label = constant('no label')] = party.shared?.keys() ?? [];
    const [authority] = party.authorities;
    if (authority === undefined) throw new Error('an initiator asks for an authority');
    return { ...own, label, authority, past: party.past ?? NO_PAST };
  }

  function made(n: number, party: Party, bindings: Bindings): readonly Term[] {
    const message = flow.message(n, party, bindings);
    if (message === undefined) throw new Error(`${name} cannot make F_${n}`);
    return [message];
  }

  const secretOf = flow.secret;

  function claims(n: number, party: Party, bindings: Bindings): Pick<Belief, 'running' | 'commit'> {
    if (flow.claims) return flow.claims(n, party, bindings);
    if (n < last - 1) return {};
    const running = secretOf(party, bindings);
    return n === last ? { running, commit: running } : { running };
  }

  /** Takes F_n, and answers it; the initiator's last answer has its first envelope with it. */
  function takes(n: number, party: Party): Step {
    const finishes = n >= last - 1;
    return {
      awaits: {
        fields: brings[n - 1] ?? {},
        message: (bindings) => flow.message(n, party, bindings),
        refuses: (bindings, siblings) => flow.refuses?.(n, party, bindings, siblings) ?? false,
      },
      sends: (bindings) => {
        const answer = n < last ? made(n + 1, party, bindings) : [];
        if (!finishes || party.role === 'responder') return answer;
        return [...answer, firstEnvelope(party, 'initiator', bindings, secretOf(party, bindings))];
      },
      beliefs: (bindings) => {
        const peer = flow.peer(party, bindings);
        const ofRun = { ...runBelief(party, bindings, claims(n, party, bindings)), peer };
        if (!finishes) return [ofRun];
        return [ofRun, { ...keyBelief(party, bindings, secretOf(party, bindings), false), peer }];
      },
    };
  }

  /** Takes the other side's first envelope. */
  function opens(party: Party): Step {
    const from = party.role === 'initiator' ? 'responder' : 'initiator';
    return {
      awaits: {
        fields: {},
        message: (bindings) => firstEnvelope(party, from, bindings, secretOf(party, bindings)),
        refuses: () => false,
      },
      sends: (bindings) =>
        party.role === 'initiator'
          ? []
          : [firstEnvelope(party, 'responder', bindings, secretOf(party, bindings))],
      beliefs: (bindings) => {
        const peer = flow.peer(party, bindings);
        return [{ ...keyBelief(party, bindings, secretOf(party, bindings), true), peer }];
      },
    };
  }

  return {
    name,
    initiator(party) {
      const steps: Step[] = [{ sends: (bindings) => made(1, party, bindings) }];
      for (let n = 2; n <= last; n += 2) steps.push(takes(n, party));
      steps.push(opens(party));
      return { party, fresh: start(party), steps };
    },
    responder(party) {
      const steps: Step[] = [];
      for (let n = 1; n <= last; n += 2) steps.push(takes(n, party));
      steps.push(opens(party));
      return { party, fresh: start(party), steps };
    },
  };
}

/** The values of these names. */
export const values = (bindings: Bindings, ...names: readonly string[]): Term[] =>
  names.map((name) => bound(bindings, name));
