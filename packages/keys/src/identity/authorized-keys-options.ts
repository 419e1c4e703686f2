import { AddressPatterns, PatternError } from './address-pattern.ts';
import type { Restrictions } from './restrictions.ts';

/** What the options of a line in authorized_keys say, as far as they apply here. */
export interface LineOptions {
  readonly from?: AddressPatterns;
  /** Milliseconds since 1970 from which on the line is void. */
  readonly expires?: number;
  readonly restrictions?: Restrictions;
}

/** Why a line cannot be used. The message completes a sentence: `line 3 ...`. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

/**
 * Understands the options field of sshd(8), AUTHORIZED_KEYS FILE FORMAT. An option that would not be honoured here makes the line unusable: to
 * pass over `command=` or `from=` would give the key more than the line does. Throws OptionError.
 */
export function parseLineOptions(field: string): LineOptions {
  const collected = new Collector();
  for (const { name, value } of splitOptions(field)) collected.add(name.toLowerCase(), value);
  return collected.result();
}

interface Option {
  readonly name: string;
  readonly value: string | undefined;
}

/** What sshd(8) lets a line forbid, or give back, that does not exist here: there is nothing to be honoured. */
const WITHOUT_EFFECT = new Set(
  ['agent-forwarding', 'pty', 'user-rc', 'x11-forwarding'].flatMap((name) => [name, `no-${name}`]),
);

class Collector {
  #from: AddressPatterns | undefined;
  #expires: number | undefined;
  /** What flags say of connecting to other places. */
  #forwarding: 'all' | 'restricted' | 'none' = 'all';
  readonly #permitOpen: string[] = [];

  add(name: string, value: string | undefined): void {
    if (value === undefined) this.#addFlag(name);
    else this.#addValue(name, value);
  }

  result(): LineOptions {
    const permitted = this.#permitted();
    return {
      ...(this.#from === undefined ? {} : { from: this.#from }),
      ...(this.#expires === undefined ? {} : { expires: this.#expires }),
      ...(permitted === undefined ? {} : { restrictions: { permitOpen: permitted } }),
    };
  }

  #permitted(): readonly string[] | undefined {
    if (this.#forwarding === 'none') return [];
    if (this.#permitOpen.length > 0) return this.#permitOpen;
    return this.#forwarding === 'restricted' ? [] : undefined;
  }

  #addFlag(name: string): void {
    if (name === 'restrict') {
      if (this.#forwarding === 'all') this.#forwarding = 'restricted'; // it gives nothing back
    } else if (name === 'port-forwarding') this.#forwarding = 'all';
    else if (name === 'no-port-forwarding') this.#forwarding = 'none';
    else if (!WITHOUT_EFFECT.has(name))
      throw new OptionError(`has the option ${name}, which is not honoured here`);
  }

  #addValue(name: string, value: string): void {
    switch (name) {
      case 'from':
        if (this.#from !== undefined) throw new OptionError('has two options from=');
        this.#from = patterns(value);
        return;
      case 'expiry-time':
        this.#expires = Math.min(this.#expires ?? Number.POSITIVE_INFINITY, parseTime(value));
        return;
      case 'permitopen':
        this.#permitOpen.push(parsePlace(value));
        return;
      default:
        throw new OptionError(`has the option ${name}=, which is not honoured here`);
    }
  }
}

/** Splits at commas outside quotes. A value is in double quotes; inside them `\"` is a quote, and never the end of the value. */
function splitOptions(field: string): readonly Option[] {
  const options: Option[] = [];
  let rest = field;
  for (;;) {
    const match = /^([a-z0-9-]+)(?:="((?:\\"|(?!\\")[^"])*)")?(,|$)/i.exec(rest);
    if (match === null) throw new OptionError('has options that break the rules of sshd(8)');
    const [whole, name = '', value, separator] = match;
    options.push({ name, value: value?.replaceAll('\\"', '"') });
    rest = rest.slice(whole.length);
    if (separator === '') return options;
  }
}

function patterns(list: string): AddressPatterns {
  try {
    return new AddressPatterns(list);
  } catch (error) {
    if (error instanceof PatternError) throw new OptionError(`has an option from= in which ${error.message}`);
    throw error;
  }
}

/** `YYYYMMDD[HHMM[SS]][Z]`; local time without Z. */
function parseTime(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z?)$/.exec(text);
  if (match === null) throw new OptionError('has an option expiry-time= that is no time');
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as Six;
  const fields: Six = [year, month - 1, day, hour, minute, second];
  const utc = Date.UTC(...fields);
  // Date takes the 30th of February for the 2nd of March.
  const same = new Date(utc).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const written = match
    .slice(1, 7)
    .map((part) => part ?? '00')
    .join('');
  if (same !== written) throw new OptionError('has an option expiry-time= that is no time');
  return match[7] === 'Z' ? utc : new Date(...fields).getTime();
}

type Six = [number, number, number, number, number, number];

/** `host:port`, `[IPv6]:port`; either may be `*`. In lower case and without brackets. */
function parsePlace(text: string): string {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._*-]+)):([0-9]{1,5}|\*)$/i.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = match?.[3] ?? '';
  const portIsRight = port === '*' || (Number(port) >= 1 && Number(port) <= 65_535);
  if (match === null || !portIsRight || (host.includes('*') && host !== '*')) {
    throw new OptionError('has an option permitopen= that is not host:port');
  }
  return `${host.toLowerCase()}:${port}`;
}
