import { Knowledge } from './knowledge.ts';
import { type Belief, type Bindings, NO_PAST, type Script, type Sibling, type Sort } from './script.ts';
import { atom, ciphertext, encapsulationKey, power, show, type Term } from './terms.ts';

/** What can go wrong. */
export type Finding =
  | 'selfie' // a session counts on a peer that is itself
  | 'impersonation' // a session counts on a peer that has no such session
  | 'disagreement' // two sessions count on each other or have the same secret, and see other parameters
  | 'misbinding' // two sessions have the same secret, and disagree on who they are
  | 'replay' // two sessions of one role have the same secret
  | 'leak'; // the attacker has a key of a session whose peer is honest

export interface Setup {
  readonly sessions: readonly Script[];
  /** What the attacker knows from the beginning, besides public things and the dishonest host's keys. */
  readonly leaked?: readonly Term[];
  /** What he learns after all runs. */
  readonly leakedLater?: readonly Term[];
  /** Agents whose sessions must be safe. */
  readonly protects: readonly string[];
  /** The agents that follow the rules. Whoever counts on another one has no claim. */
  readonly honest: readonly string[];
  /** He only listens. */
  readonly passive?: boolean;
  /** Claims nothing about peers: the search is for leaks only. */
  readonly anonymous?: boolean;
  /** Enough is known when these have been found. */
  readonly until?: readonly Finding[];
}

export interface Result {
  readonly findings: readonly Finding[];
  /** How the first of each kind comes about. */
  readonly traces: ReadonlyMap<Finding, readonly string[]>;
  /** How many sessions have counted on an honest peer, over all states: 0 would make an empty result worthless. */
  readonly commitments: number;
  readonly states: number;
}

/** The attacker's own nonce, exponent and so on. One of each is enough: he gains nothing by having two. */
const OWN = {
  nonce: atom('nonce of E'),
  exponent: atom('exponent of E'),
  decapsulationKey: atom('decapsulation key of E'),
  randomness: atom('randomness of E'),
  past: atom('past of E'),
};

/** Where a session is. The same place is the same object, so that what follows from it is computed once. */
interface Local {
  readonly step: number;
  readonly bindings: Bindings;
  readonly key: string;
  /** What it believes by now. */
  readonly beliefs: readonly Belief[];
}

/** A message that a session would take next, and where it is then. */
interface Choice {
  readonly message: Term;
  readonly reached: Local;
}

interface State {
  readonly locals: readonly Local[];
  readonly knowledge: Knowledge;
  readonly sent: ReadonlySet<Term>;
  readonly trace: readonly (readonly [session: number, message: Term])[];
}

/** What a session counts on. */
interface Done {
  readonly script: Script;
  readonly belief: Belief;
}

/**
 * Tries all that an attacker can do who carries every message between these sessions: which message he gives to whom in which order, with every value of
 * the right sort in every field that its receiver cannot check. A receiver's checks say what the rest of the message must be, and the attacker must be able to make that.
 */
export function search(setup: Setup): Result {
  return new Search(setup).run();
}

class Search {
  readonly #setup: Setup;
  readonly #values: Record<Sort, readonly Term[]>;
  readonly #seen = new Set<string>();
  readonly #choices = new WeakMap<Local, readonly Choice[]>();
  readonly #traces = new Map<Finding, readonly string[]>();
  #commitments = 0;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#values = valuesOf(setup.sessions);
  }

  run(): Result {
    const open = [this.#initial()];
    for (let state = open.pop(); state !== undefined && !this.#knowsEnough(); state = open.pop()) {
      const next = this.#successors(state);
      if (next.length === 0) this.#checkEnd(state);
      open.push(...next);
    }
    const findings = [...this.#traces.keys()].sort();
    return { findings, traces: this.#traces, commitments: this.#commitments, states: this.#seen.size };
  }

  #knowsEnough(): boolean {
    const { until } = this.#setup;
    return until?.every((finding) => this.#traces.has(finding)) ?? false;
  }

  /** Every initiator has sent its first message: the attacker loses nothing by having it early. */
  #initial(): State {
    const { sessions, leaked = [] } = this.#setup;
    const knowledge = new Knowledge([...Object.values(OWN), ...publicNames(sessions), ...leaked]);
    const sent = new Set<Term>();
    const locals = sessions.map((script, index) => {
      const { fresh, steps } = script;
      const [first] = steps;
      if (first?.awaits !== undefined) return this.#local(index, 0, fresh);
      for (const message of first?.sends?.(fresh) ?? []) {
        sent.add(message);
        knowledge.learn(message);
      }
      return this.#local(index, 1, fresh);
    });
    return { locals, knowledge, sent, trace: [] };
  }

  #successors(state: State): State[] {
    const next: State[] = [];
    for (const [index, local] of state.locals.entries()) {
      if (this.#waitsForTwin(state, index)) continue;
      const awaits = this.#script(index).steps[local.step]?.awaits;
      for (const { message, reached } of this.#choicesAt(index, local)) {
        const locals = state.locals.with(index, reached);
        const key = locals.map((each) => each.key).join(';');
        if (this.#seen.has(key) || !this.#delivers(state, message)) continue;
        if (awaits?.refuses(reached.bindings, this.#siblings(state, index))) continue;
        this.#seen.add(key);
        next.push(this.#advance({ ...state, locals }, index, message));
      }
    }
    return next;
  }

  /** Of two sessions that differ in nothing, the second does not begin before the first: the other order is the same but for names. */
  #waitsForTwin({ locals }: State, index: number): boolean {
    if (locals[index]?.step !== 0 || locals[index - 1]?.step !== 0) return false;
    const [one, other] = [this.#script(index - 1).party, this.#script(index).party];
    return one.agent === other.agent && one.role === other.role && one.authorities === other.authorities;
  }

  #delivers({ knowledge, sent }: State, message: Term): boolean {
    return this.#setup.passive ? sent.has(message) : knowledge.derives(message);
  }

  /** The session `index` has taken `message`, and answers. */
  #advance(state: State, index: number, message: Term): State {
    const { steps } = this.#script(index);
    const { step, bindings } = state.locals[index] as Local;
    const taken = steps[step - 1];
    const messages = taken?.sends?.(bindings) ?? [];
    const reached: State = {
      locals: state.locals,
      knowledge: messages.length > 0 ? state.knowledge.with(...messages) : state.knowledge,
      sent: new Set([...state.sent, ...messages]),
      trace: [...state.trace, [index, message]],
    };
    for (const belief of taken?.beliefs?.(bindings) ?? []) {
      if (belief.commit !== undefined) this.#checkCommit(reached, index, belief);
    }
    return reached;
  }

  /** Whoever counts on an honest peer is right: that one has a session with it, and sees it in the same way. */
  #checkCommit(state: State, index: number, belief: Belief): void {
    const { party } = this.#script(index);
    if (!this.#claims(party.agent, belief)) return;
    this.#commitments += 1;
    if (this.#setup.anonymous) return;
    const partners = this.#beliefs(state).filter(
      ({ script, beliefs }) =>
        script.party.role !== party.role && beliefs.some(({ running }) => running === belief.commit),
    );
    const right = partners.filter(({ script }) => script.party.agent === belief.peer);
    const agrees = ({ running, view }: Belief) => running === belief.commit && view === belief.view;
    if (right.some(({ beliefs }) => beliefs.some(agrees))) return;
    if (right.length > 0) this.#found('disagreement', state);
    else if (partners.some(({ script }) => script.party.agent === party.agent)) this.#found('selfie', state);
    else this.#found('impersonation', state);
  }

  /** What only matters once nothing more can happen: the attacker never forgets. */
  #checkEnd(state: State): void {
    const { leakedLater = [] } = this.#setup;
    const done: Done[] = this.#beliefs(state).flatMap(({ script, beliefs }) => {
      const committed = beliefs.filter(({ commit }) => commit !== undefined);
      return committed.map((belief) => ({ script, belief }));
    });
    const knowledge = leakedLater.length > 0 ? state.knowledge.with(...leakedLater) : state.knowledge;
    for (const { script, belief } of done) {
      if (!this.#claims(script.party.agent, belief)) continue;
      if (belief.keys?.some((key) => knowledge.derives(key))) this.#found('leak', state);
    }
    for (const one of done) {
      for (const other of done) {
        if (one !== other && one.belief.commit === other.belief.commit)
          this.#checkSameSecret(state, one, other);
      }
    }
  }

  #checkSameSecret(state: State, one: Done, other: Done): void {
    const [party, partner] = [one.script.party, other.script.party];
    if (party.role === partner.role) this.#found('replay', state);
    else if (one.belief.peer !== undefined && one.belief.peer !== partner.agent) {
      this.#found(partner.agent === party.agent ? 'selfie' : 'misbinding', state);
    } else if (one.belief.view !== other.belief.view) this.#found('disagreement', state);
  }

  #claims(agent: string, { peer }: Belief): boolean {
    const { protects, honest, anonymous } = this.#setup;
    return protects.includes(agent) && (anonymous || (peer !== undefined && honest.includes(peer)));
  }

  #found(finding: Finding, { trace }: State): void {
    if (this.#traces.has(finding)) return;
    const steps = trace.map(([index, message]) => {
      const { agent, session } = this.#script(index).party;
      return `${agent} (${session}) takes ${show(message)}`;
    });
    this.#traces.set(finding, steps);
  }

  #beliefs({ locals }: State): { readonly script: Script; readonly beliefs: readonly Belief[] }[] {
    return locals.map(({ beliefs }, index) => ({ script: this.#script(index), beliefs }));
  }

  #siblings({ locals }: State, index: number): Sibling[] {
    const { agent } = this.#script(index).party;
    return locals.flatMap(({ step, bindings }, other) => {
      const { party, steps } = this.#script(other);
      return other === index || party.agent !== agent
        ? []
        : [{ party, bindings, inProgress: step < steps.length - 1 }]; // the last step is an envelope, after the run
    });
  }

  #local(index: number, step: number, bindings: Bindings): Local {
    const key = `${step} ${Object.values(bindings)
      .map(({ id }) => id)
      .join(' ')}`;
    const taken = this.#script(index).steps.slice(0, step);
    return { step, bindings, key, beliefs: taken.flatMap(({ beliefs }) => beliefs?.(bindings) ?? []) };
  }

  #choicesAt(index: number, local: Local): readonly Choice[] {
    const known = this.#choices.get(local);
    if (known !== undefined) return known;
    const awaits = this.#script(index).steps[local.step]?.awaits;
    const choices: Choice[] = [];
    if (awaits !== undefined) {
      for (const bindings of this.#combinations(local.bindings, Object.entries(awaits.fields))) {
        const message = awaits.message(bindings);
        if (message === undefined) continue;
        choices.push({ message, reached: this.#local(index, local.step + 1, bindings) });
      }
    }
    this.#choices.set(local, choices);
    return choices;
  }

  *#combinations(bindings: Bindings, fields: readonly (readonly [string, Sort])[]): Generator<Bindings> {
    const [first, ...rest] = fields;
    if (first === undefined) {
      yield bindings;
      return;
    }
    const [name, sort] = first;
    for (const value of this.#values[sort]) yield* this.#combinations({ ...bindings, [name]: value }, rest);
  }

  #script(index: number): Script {
    const script = this.#setup.sessions[index];
    if (script === undefined) throw new RangeError(`no session ${index}`);
    return script;
  }
}

/** All values of each sort that there are: those of the sessions, and the attacker's. */
function valuesOf(sessions: readonly Script[]): Record<Sort, readonly Term[]> {
  const fresh = (name: string) => sessions.flatMap(({ fresh }) => fresh[name] ?? []);
  const parties = sessions.map(({ party }) => party);
  const pasts = unique(parties.flatMap(({ past }) => past ?? []));
  const keys = [...fresh('decapsulationKey'), OWN.decapsulationKey].map(encapsulationKey);
  const randomness = [...fresh('randomness'), OWN.randomness];
  return {
    nonce: [...fresh('nonce'), OWN.nonce],
    power: [...fresh('exponent'), OWN.exponent].map((exponent) => power(exponent)),
    'encapsulation-key': keys,
    ciphertext: keys.flatMap((key) => randomness.map((random) => ciphertext(key, random))),
    identity: unique(parties.flatMap(({ accepts }) => [...(accepts?.keys() ?? [])])),
    label: unique(parties.flatMap(({ shared }) => [...(shared?.keys() ?? [])])),
    authority: unique(parties.flatMap(({ authorities }) => authorities)),
    past: pasts.length > 0 ? [...pasts, OWN.past] : [NO_PAST],
  };
}

/** The attacker knows all of these from the beginning. Constants he knows anyway. */
function publicNames(sessions: readonly Script[]): Term[] {
  return sessions.flatMap(({ party }) => [...(party.accepts?.keys() ?? [])]);
}

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];
