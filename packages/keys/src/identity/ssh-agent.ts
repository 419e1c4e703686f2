import { createConnection } from 'node:net';
import { concat, u8, u32 } from '../bytes.ts';
import { KeyError } from '../errors.ts';
import { decodePublicKey, describeIdentity, encodePublicKey } from './public-key.ts';
import type { Signer } from './signer.ts';
import { SshFormatError, SshReader, sshString } from './ssh-wire.ts';
import { decodeSignature, SignedData } from './sshsig.ts';

export interface SshAgentOptions {
  /** Milliseconds for an answer; 9,000 by default, less than a run may take, since the agent may ask its user first. */
  readonly timeout?: number;
}

/**
 * A running ssh-agent (draft-ietf-sshm-ssh-agent). It keeps the private keys; this side learns public keys and signatures. It is asked for two
 * things, the list of keys and a signature over data in SSHSIG format, each over a connection of its own. It is not forwarded to anybody.
 */
export class SshAgent {
  readonly #path: string;
  readonly #timeout: number;

  constructor(path: string, options: SshAgentOptions = {}) {
    this.#path = path;
    this.#timeout = options.timeout ?? 9_000;
  }

  /** The agent that the environment names. Throws KeyError ERR_KEYMUX_IDENTITY if it names none. */
  static fromEnvironment(environment: NodeJS.ProcessEnv = process.env): SshAgent {
    const path = environment.SSH_AUTH_SOCK;
    if (!path) throw agentError('is not running: SSH_AUTH_SOCK is not set. Start it, and ssh-add a key');
    return new SshAgent(path);
  }

  /** A signer for each Ed25519 key that the agent holds; keys of other types are left out. */
  async signers(signal?: AbortSignal): Promise<readonly Signer[]> {
    const answer = await this.#ask(REQUEST_IDENTITIES, IDENTITIES_ANSWER, new Uint8Array(0), signal);
    return readAnswer(() => {
      const count = answer.u32();
      if (count > MAX_KEYS) throw new SshFormatError(`lists ${count} keys; at most ${MAX_KEYS} are read`);
      const signers: Signer[] = [];
      for (let index = 0; index < count; index++) {
        const identity = identityOf(answer.string());
        const comment = answer.text();
        if (identity !== undefined) signers.push(this.#signer(identity, comment));
      }
      answer.end();
      return signers;
    });
  }

  #signer(identity: Uint8Array, comment: string): Signer {
    return { identity, comment, sign: (data, signal) => this.#sign(identity, data, signal) };
  }

  async #sign(identity: Uint8Array, data: SignedData, signal: AbortSignal): Promise<Uint8Array> {
    const request = concat(
      sshString(encodePublicKey(identity)),
      sshString(SignedData.bytesOf(data)),
      u32(NO_FLAGS),
    );
    const answer = await this.#ask(SIGN_REQUEST, SIGN_RESPONSE, request, signal);
    const signature = readAnswer(() => {
      const blob = answer.string();
      answer.end();
      return decodeSignature(blob);
    });
    if (!data.isSignedBy(identity, signature)) {
      throw agentError(`made a signature that is not right for ${describeIdentity(identity)}`);
    }
    return signature;
  }

  /** One question, one answer. Rejects with KeyError, or the signal's reason. */
  async #ask(type: number, expected: number, content: Uint8Array, signal?: AbortSignal): Promise<SshReader> {
    const timeout = AbortSignal.timeout(this.#timeout);
    const both = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
    let message: Uint8Array;
    try {
      message = await exchange(this.#path, concat(u32(content.length + 1), u8(type), content), both);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (timeout.aborted) throw agentError(`did not answer within ${this.#timeout} ms`);
      if (error instanceof SshFormatError) throw agentError(error.message, error);
      throw agentError(
        `at ${this.#path} cannot be reached (${(error as NodeJS.ErrnoException).code})`,
        error,
      );
    }
    const reader = new SshReader(message);
    const got = reader.u8();
    if (got === expected) return reader;
    throw agentError(
      got === FAILURE && type === SIGN_REQUEST
        ? 'refused to sign: it is locked, its user said no, the key is gone, or it may be used for certain SSH hosts only ' +
            '(ssh-add -h). Do not lift such a constraint: make a key of its own for this'
        : `answered with message ${got}`,
    );
  }
}

/** Sends a whole message and waits for one, which comes without its length. */
function exchange(path: string, message: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const socket = createConnection(path);
    const inbox = new Inbox();
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      settle();
    };
    const fail = (error: unknown): void => finish(() => reject(error));
    const abort = (): void => fail(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    socket.on('error', fail);
    socket.on('close', () => fail(new SshFormatError('closed the connection without an answer')));
    socket.on('data', (chunk: Uint8Array) => {
      try {
        const answer = inbox.add(chunk);
        if (answer !== undefined) finish(() => resolve(answer));
      } catch (error) {
        fail(error);
      }
    });
    socket.write(message);
  });
}

/** Collects one message: `uint32 length | type | content`. The length is judged before anything is stored. */
class Inbox {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  #length: number | undefined;

  add(chunk: Uint8Array): Uint8Array | undefined {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size < 4) return undefined;
    this.#length ??= this.#readLength();
    if (this.#size > 4 + this.#length) throw new SshFormatError('sent more than one answer');
    return this.#size === 4 + this.#length ? concat(...this.#chunks).subarray(4) : undefined;
  }

  #readLength(): number {
    const length = new SshReader(concat(...this.#chunks)).u32();
    if (length < 1 || length > MAX_MESSAGE) throw new SshFormatError(`sent a message of ${length} bytes`);
    return length;
  }
}

function identityOf(blob: Uint8Array): Uint8Array | undefined {
  try {
    return decodePublicKey(blob);
  } catch {
    return undefined; // RSA, ECDSA, hardware keys, certificates
  }
}

function readAnswer<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SshFormatError) throw agentError(`sent an answer that ${error.message}`, error);
    throw error;
  }
}

function agentError(problem: string, cause?: unknown): KeyError {
  return new KeyError('ERR_KEYMUX_IDENTITY', `the ssh-agent ${problem}`, { cause });
}

const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
const NO_FLAGS = 0;
/** OpenSSH's own limit. */
const MAX_MESSAGE = 256 * 1024;
const MAX_KEYS = 2048;
