import { readFile } from 'node:fs/promises';
import { findNodeAtLocation, parseTree } from 'jsonc-parser';
import { ConfigError } from './errors.ts';
import { type FilePlace, optionName } from './settings.ts';

/** The options in a JSON file, whose names are those of the command line. */
export class ConfigFile {
  readonly path: string;
  readonly #text: string;
  /** Option to its name as written, and its value. */
  readonly #options: ReadonlyMap<string, readonly [written: string, value: unknown]>;

  private constructor(
    path: string,
    text: string,
    options: ReadonlyMap<string, readonly [written: string, value: unknown]>,
  ) {
    this.path = path;
    this.#text = text;
    this.#options = options;
  }

  /** Rejects with ConfigError if it is no JSON object, or has an option that is not among `names`. */
  static async read(path: string, names: readonly string[]): Promise<ConfigFile> {
    const text = await readFile(path, 'utf8').catch((error: Error) => {
      throw new ConfigError(`config file "${path}" cannot be read`, { cause: error });
    });
    const known = new Map(
      names.flatMap((name) => [[optionName(name), name] as const, [name, name] as const]),
    );
    const options = new Map<string, readonly [string, unknown]>();
    for (const [written, value] of Object.entries(parse(path, text))) {
      const name = known.get(written);
      if (name !== undefined) options.set(name, [written, value]);
      else {
        const all = names.map(optionName).join(', ');
        throw new ConfigError(`config file "${path}": there is no option "${written}"; there are: ${all}`);
      }
    }
    return new ConfigFile(path, text, options);
  }

  value(name: string): unknown {
    return this.#options.get(name)?.[1];
  }

  /** Where an option stands, or one item of its list. */
  locate(name: string, index?: number): FilePlace {
    const { path } = this;
    const [written = name, value] = this.#options.get(name) ?? [];
    const item = Array.isArray(value) && index !== undefined ? [index] : [];
    const root = parseTree(this.#text);
    const node = root && findNodeAtLocation(root, [written, ...item]);
    const line = this.#text.slice(0, node?.offset ?? 0).split('\n').length;
    return { path, line, property: written + item.map((at) => `[${at}]`).join('') };
  }
}

function parse(path: string, text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`config file "${path}" is not JSON`, { cause: error });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new ConfigError(`config file "${path}" must hold one JSON object`);
}
