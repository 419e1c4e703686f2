import type { HeaderList } from '@keymux/frames';
import type { KeyInfo, Level } from '@keymux/session';
import { hostnameOf, type MuxStream, protection, satisfies, stronger, weaker } from '@keymux/streams';
import { HostKeyError, LevelError } from './errors.ts';
import type { HostMemory } from './host-memory.ts';
import type { HostPolicy, Requirement } from './host-policy.ts';

export interface GuardOptions {
  readonly policy?: HostPolicy | undefined;
  readonly memory?: HostMemory | undefined;
}

/** Of a request: what decides how it, and its answer, must be protected. */
export interface Guarded {
  readonly host: string;
  readonly key?: KeyInfo | undefined;
  readonly level?: Level;
  readonly headers?: HeaderList;
  readonly credentialLevel?: Level;
}

const CREDENTIALS = new Set(['authorization', 'cookie']);

/**
 * Judges one request before it is sent, and its answer before it is handed out (spec 4.4, 9.7, 9.8). The host is what the user asked for; what comes from the
 * peer can only make these checks fail.
 */
export class RequestGuard {
  readonly hostname: string;
  readonly #request: Guarded;
  /** The host's least level, for the request as for the answer. */
  readonly #required: Requirement;

  constructor(request: Guarded, { policy, memory }: GuardOptions) {
    this.hostname = hostnameOf(request.host);
    this.#request = request;
    const requirements = [policy?.requirement(this.hostname), memory?.requirement(this.hostname)];
    this.#required = requirements.reduce<Requirement>(highest, { level: 'none', because: '' });
  }

  /** Throws LevelError or HostKeyError if the request may not be sent so. */
  checkRequest(): void {
    const { key, headers = [], credentialLevel = 'authenticated' } = this.#request;
    const { hostname } = this;
    if (key !== undefined && key.authority !== '' && key.authority !== hostname)
      throw new HostKeyError(hostname, 'request');
    this.#checkSending('request', this.#required);
    if (headers.some(([name]) => CREDENTIALS.has(name.toLowerCase())))
      this.#checkSending('credentials', { level: credentialLevel, because: 'this request' });
  }

  #checkSending(part: 'request' | 'credentials', { level: required, because }: Requirement): void {
    const { level, reach } = protection(this.#request.key);
    if (!satisfies(level, required))
      throw new LevelError(this.hostname, { part, required, reached: level, because });
    if (required !== 'none' && reach !== 'end-to-end')
      throw new LevelError(this.hostname, { part, required, reached: 'hop', because });
  }

  /** Throws LevelError or HostKeyError unless what comes is protected as required, by a key that speaks for the host. */
  checkAnswer({ security }: MuxStream): void {
    const { key, level: asked = key?.level ?? 'none' } = this.#request;
    const required = stronger(asked, this.#required.level);
    const { received, receiving } = security;
    const reached = key === undefined ? received.level : weaker(received.level, key.level);
    if (!satisfies(reached, required)) {
      const because = asked === required ? 'this request' : this.#required.because;
      throw new LevelError(this.hostname, { part: 'answer', required, reached, because });
    }
    if (!this.#speaksForHost(receiving.key)) throw new HostKeyError(this.hostname, 'answer');
  }

  /** A connection key does if the caller chose it for the request: then he knows who it is that ends the session. */
  #speaksForHost(answerKey: KeyInfo | undefined): boolean {
    if (answerKey === undefined || answerKey.authority === this.hostname) return true;
    return answerKey.authority === '' && answerKey.keyId === this.#request.key?.keyId;
  }
}

function highest(a: Requirement, b: Requirement | undefined): Requirement {
  return b === undefined || satisfies(a.level, b.level) ? a : b;
}
