/** A line of a configuration file. */
export interface FilePlace {
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  /** As it is written there, for example `proxy-key` or `key[1]`. */
  readonly property: string;
}

/** What decided the value of an option. */
export interface Source {
  /** As on the command line, without the dashes. */
  readonly option: string;
  /** Which item of a list. */
  readonly index?: number;
  readonly from:
    | { readonly kind: 'command line' }
    | { readonly kind: 'environment'; readonly variable: string }
    | { readonly kind: 'file'; readonly at: (index?: number) => FilePlace }
    | { readonly kind: 'default' };
}

/** A value, and what decided it. */
export interface Chosen<T> {
  readonly value: T;
  readonly source: Source;
}

/** The checked options of a command, and where each comes from. */
export class Settings<T extends object> {
  readonly values: T;
  /** The values as they were given, which the same schema takes in another process. */
  readonly given: Readonly<Record<string, unknown>>;
  readonly #sources: ReadonlyMap<string, Source>;

  constructor(values: T, given: Readonly<Record<string, unknown>>, sources: ReadonlyMap<string, Source>) {
    this.values = values;
    this.given = given;
    this.#sources = sources;
  }

  chosen<K extends keyof T & string>(name: K): Chosen<T[K]> {
    const source = this.#sources.get(name) ?? { option: optionName(name), from: { kind: 'default' } };
    return { value: this.values[name], source };
  }
}

/** The environment variable of an option: `connectTimeout` is KEYMUX_CONNECT_TIMEOUT. */
export function environmentVariable(name: string): string {
  return `KEYMUX_${optionName(name).toUpperCase().replaceAll('-', '_')}`;
}

/** An option as on the command line: `connectTimeout` is connect-timeout. */
export function optionName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
