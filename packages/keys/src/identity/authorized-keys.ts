import { type LineOptions, OptionError, parseLineOptions } from './authorized-keys-options.ts';
import { parsePublicKey, printable, sameIdentity } from './public-key.ts';
import type { Restrictions } from './restrictions.ts';
import { SshFormatError } from './ssh-wire.ts';

/** A line that lets somebody in. */
interface AuthorizedLine {
  readonly line: number;
  readonly identity: Uint8Array;
  readonly comment: string;
  readonly options: LineOptions;
}

/** A line that does not, and why; for the log. */
export interface UnusableLine {
  readonly line: number;
  readonly reason: string;
}

export interface Circumstances {
  /** The peer's address; undefined where it has none, as on a Unix socket. */
  readonly peerAddress: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export type Admittance =
  | {
      readonly admitted: true;
      readonly line: number;
      readonly comment: string;
      readonly restrictions: Restrictions | undefined;
    }
  | { readonly admitted: false; readonly reason: string };

/** Who may come in: an authorized_keys file as in sshd(8). */
export class AuthorizedKeys {
  readonly #lines: readonly AuthorizedLine[];
  readonly unusable: readonly UnusableLine[];

  /** A line that cannot be used stays out and is listed in `unusable`; the others count. */
  constructor(text: string) {
    const lines: AuthorizedLine[] = [];
    const unusable: UnusableLine[] = [];
    for (const [index, content] of text.split('\n').entries()) {
      const line = index + 1;
      try {
        const parsed = parseLine(content.replace(/\r$/, '').trim());
        if (parsed !== undefined) lines.push({ line, ...parsed });
      } catch (error) {
        if (!(error instanceof OptionError || error instanceof SshFormatError)) throw error;
        unusable.push({ line, reason: error.message });
      }
    }
    this.#lines = lines;
    this.unusable = unusable;
  }

  get size(): number {
    return this.#lines.length;
  }

  /** Whether an identity may come in under these circumstances: by the first line with its key that fits them. */
  admit(identity: Uint8Array, circumstances: Circumstances): Admittance {
    const reasons: string[] = [];
    for (const { line, comment, options, ...entry } of this.#lines) {
      if (!sameIdentity(entry.identity, identity)) continue;
      const obstacle = obstacleOf(options, circumstances);
      if (obstacle === undefined) {
        return { admitted: true, line, comment, restrictions: options.restrictions };
      }
      reasons.push(`line ${line} ${obstacle}`);
    }
    return { admitted: false, reason: reasons.join(', ') || 'no usable line has this key' };
  }
}

function obstacleOf({ from, expires }: LineOptions, { peerAddress, now }: Circumstances): string | undefined {
  if (expires !== undefined && !(now < expires)) return 'has expired';
  if (from === undefined) return undefined;
  if (peerAddress === undefined) return 'has from=, and the peer has no address';
  return from.matches(peerAddress)
    ? undefined
    : `has from=, which does not contain ${printable(peerAddress)}`;
}

/** `[options] type base64 [comment]`; undefined for blank lines and comments. */
function parseLine(text: string): Omit<AuthorizedLine, 'line'> | undefined {
  if (text === '' || text.startsWith('#')) return undefined;
  const field = KEY_TYPE.test(text) ? '' : optionsField(text);
  const [type = '', base64 = '', ...comment] = text
    .slice(field.length)
    .trimStart()
    .split(/[ \t]+/);
  // The key first: of a key of another type nothing else is of interest.
  const identity = parsePublicKey(type, base64);
  const options = field === '' ? {} : parseLineOptions(field);
  return { identity, comment: comment.join(' '), options };
}

/** Everything up to the first blank outside quotes. */
function optionsField(text: string): string {
  const [field = ''] = /^(?:"(?:\\"|(?!\\")[^"])*"|[^\s"])+(?=[ \t])/.exec(text) ?? [];
  if (field === '') throw new OptionError('has neither options nor a key where they should be');
  return field;
}

const KEY_TYPE = /^(?:ssh|ecdsa|sk)-[a-z0-9@.-]+[ \t]/;
