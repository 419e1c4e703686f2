import {
  type Admittance,
  ALGORITHM,
  AuthorizedKeysFile,
  type Circumstances,
  fingerprint,
  Identities,
  type KeeperHoldings,
  type KeyInfo,
  Keyring,
  type Signer,
  sameIdentity,
} from '@keymux/keys';
import { z } from 'zod';
import { list } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { authorizedKeysTrust, loadSigner } from '../identities.ts';
import { readKey } from '../keys.ts';
import type { Output } from '../output.ts';
import { LINK_ALGORITHMS } from './link.ts';

/** The options that say who may call from elsewhere, and by which key he knows the keeper. */
export const CALLER_OPTIONS = {
  ownIdentity: z.string().optional(),
  callers: list,
  callerKey: list,
};

export type CallerOptions = z.output<z.ZodObject<typeof CALLER_OPTIONS>>;

/** What somebody may use the keeper for: hosts, '' for proxies. */
export interface Rights {
  has(authority: string): boolean;
  /** Whether that is everything. */
  readonly all: boolean;
}

/** `FILE` for everything, `NAME=FILE` for a host, `=FILE` for proxies; `authority` is undefined for everything. */
interface Grant {
  readonly path: string;
  readonly authority: string | undefined;
}

/** Who may call from elsewhere, and for what. */
export class Callers {
  /** For the keeper's own end of the sessions with them. */
  readonly holdings: KeeperHoldings;
  readonly #own: Signer | undefined;
  readonly #files: readonly { readonly file: AuthorizedKeysFile; readonly authority: string | undefined }[];
  /** By label of the caller's key. */
  readonly #rightsByLabel: ReadonlyMap<string, readonly (string | undefined)[]>;
  /** Public keys of those who were let in, by fingerprint: no more than the files have had. */
  readonly #identities: Map<string, Uint8Array>;

  private constructor(
    own: Signer | undefined,
    files: readonly Grant[],
    keyring: Keyring,
    rightsByLabel: ReadonlyMap<string, readonly (string | undefined)[]>,
    known: Map<string, Uint8Array>,
  ) {
    this.#identities = known;
    this.#own = own;
    this.#files = files.map(({ path, authority }) => ({ file: new AuthorizedKeysFile(path), authority }));
    this.#rightsByLabel = rightsByLabel;
    const identities = new Identities();
    const authorizedKeys = {
      name: files.map(({ path }) => path).join(', '),
      load: async () => ({ admit: await this.#admission() }),
    };
    if (own) identities.add(own, { authorities: [''], roles: ['responder'], trust: { authorizedKeys } });
    this.holdings = { keyring, algorithms: LINK_ALGORITHMS, identities: own && identities };
  }

  /** Reads keys and lists. `before` are those of the configuration before, some of whom may be connected. Rejects with ConfigError or KeyError. */
  static async load(
    { ownIdentity, callers, callerKey }: CallerOptions,
    output: Output,
    before?: Callers,
  ): Promise<Callers> {
    const files = callers.map(grantOf);
    if (files.length > 0 && ownIdentity === undefined)
      throw new ConfigError('--callers needs --own-identity FILE: who this keeper is');
    if (ownIdentity !== undefined && files.length === 0)
      throw new ConfigError('--own-identity needs --callers FILE: who may use this keeper from elsewhere');
    if (files.length === 0 && callerKey.length === 0)
      throw new ConfigError(
        '--listen HOST:PORT needs --own-identity FILE and --callers FILE, or --caller-key FILE: who may use this keeper from elsewhere',
      );
    for (const { path } of files) await authorizedKeysTrust(path, output);
    const keyring = new Keyring();
    const rightsByLabel = new Map<string, (string | undefined)[]>();
    for (const { path, authority } of callerKey.map(grantOf)) {
      const key = await readKey(path, output);
      const rights = rightsByLabel.get(key.label);
      if (rights) rights.push(authority);
      else {
        rightsByLabel.set(key.label, [authority]);
        keyring.add(key, { authorities: [''], roles: ['responder'] });
      }
    }
    const own = ownIdentity === undefined ? undefined : await loadSigner(ownIdentity);
    const known = before === undefined ? new Map<string, Uint8Array>() : before.#identities;
    return new Callers(own, files, keyring, rightsByLabel, known);
  }

  /** Throws ConfigError if a key of these callers is also kept: who may use a kept one could be taken for the keeper, or for a caller. */
  checkApart({ keyring, identities }: KeeperHoldings, pipeLabels: readonly string[]): void {
    const label = [...keyring.labels, ...pipeLabels].find((label) => this.#rightsByLabel.has(label));
    if (label !== undefined)
      throw new ConfigError(
        `--caller-key and a key that is kept are the same, ${label}; whoever may use it could call as well: make another`,
      );
    for (const { label, authority, roles } of identities?.kept ?? []) {
      const entry = roles[0] && identities?.find(label, authority, roles[0]);
      if (entry && this.#own && sameIdentity(entry.signer.identity, this.#own.identity))
        throw new ConfigError(
          '--own-identity and --identity are the same; who may use it could be taken for this keeper: make another',
        );
    }
  }

  /** What the holder of an established key may use the keeper for now; undefined for nothing. */
  async rightsOf({ label, identity, algorithm }: KeyInfo, peerAddress: string): Promise<Rights | undefined> {
    if (algorithm !== ALGORITHM.SIGNED) return rightsFor(this.#rightsByLabel.get(label) ?? []);
    const known = identity && this.#identities.get(identity.fingerprint);
    if (known === undefined) return undefined;
    const circumstances = { peerAddress, now: Date.now() };
    const lists = await this.#load();
    return rightsFor(
      lists.filter(({ list }) => list.admit(known, circumstances).admitted).map(({ authority }) => authority),
    );
  }

  /** Lets in whom any of the files lets in. */
  async #admission(): Promise<(identity: Uint8Array, circumstances: Circumstances) => Admittance> {
    const lists = await this.#load();
    return (identity, circumstances) => {
      const verdicts = lists.map(({ list }) => list.admit(identity, circumstances));
      const admitted = verdicts.find((verdict) => verdict.admitted);
      if (admitted === undefined) return { admitted: false, reason: 'no file has a line that lets it in' };
      this.#identities.set(fingerprint(identity), identity);
      return admitted;
    };
  }

  #load() {
    return Promise.all(
      this.#files.map(async ({ file, authority }) => ({ list: await file.load(), authority })),
    );
  }
}

function rightsFor(authorities: readonly (string | undefined)[]): Rights | undefined {
  if (authorities.length === 0) return undefined;
  if (authorities.includes(undefined)) return { has: () => true, all: true };
  const allowed = new Set(authorities);
  return { has: (authority) => allowed.has(authority), all: false };
}

function grantOf(text: string): Grant {
  const [, name, path = text] = /^(?:([^=/]*)=)?(.+)$/.exec(text) ?? [];
  return { path, authority: name?.toLowerCase() };
}
