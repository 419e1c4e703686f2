import { once } from 'node:events';
import { styleText } from 'node:util';

/** A fact about what the program does, for the log. `event` names its kind. */
export interface LogEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/**
 * Where a command writes. Results go to standard output, messages to standard error; with `--json` results and events are
 * one JSON object a line on standard output.
 */
export class Output {
  readonly json: boolean;
  readonly #warns: boolean;

  /** `warns` is false where another process has given the warnings already. */
  constructor({ json, warns = true }: { readonly json: boolean; readonly warns?: boolean }) {
    this.json = json;
    this.#warns = warns;
  }

  /** Something happened. `text` is how people read it; undefined if only scripts care. */
  log(event: LogEvent, text?: string): void {
    if (this.json) process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
    else if (text !== undefined) process.stderr.write(`${printable(text)}\n`);
  }

  warn(text: string): void {
    if (this.#warns) process.stderr.write(`${paint('yellow', 'warning')}: ${text}\n`);
  }

  result(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** Resolves when standard output takes more. Who prints without end waits for it. */
  async ready(): Promise<void> {
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain');
  }
}

/** Says what went wrong, and why as far as is known. */
export function printError(error: unknown): void {
  process.stderr.write(`${paint('red', 'keymux')}: ${describeError(error)}\n`);
}

/** An error in words, and why as far as is known, a reason a line. */
export function describeError(error: unknown): string {
  return reasonsOf(error).map(printable).join('\n  because: ') || String(error);
}

/** What went wrong, then what that was caused by, as far as each adds something. */
export function reasonsOf(error: unknown): string[] {
  const lines: string[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const message = explain(cause);
    if (message !== '' && !lines.some((line) => line.includes(message))) lines.push(message);
  }
  return lines;
}

/** The options that say where a command listens. */
const LISTEN = '--listen (with pipe, --source)';

/** The message of an error; those of the system in words. */
function explain(error: Error): string {
  if (error instanceof AggregateError && error.message === '') return explain(error.errors[0] as Error);
  const { code, address, port, hostname, path } = error as Error &
    Record<string, string | number | undefined>;
  const isSocket = port === undefined || port === -1; // a Unix socket: -1 where somebody wants to listen
  const place = isSocket ? (address ?? path) : `${address}:${port}`;
  switch (code) {
    case 'ENOENT':
      return error.message.startsWith('connect') ? `nothing listens on ${place}` : error.message;
    case 'ECONNREFUSED':
      return `nothing listens on ${place}`;
    case 'EADDRINUSE':
      return `${place} is taken: another program listens there; stop it, or choose another place with ${LISTEN}`;
    case 'EACCES':
      if (!error.message.startsWith('listen')) return error.message;
      return isSocket // the system says the same of both
        ? `there is no directory for the socket ${place}, or this user may not write there; make it, or choose another place with ${LISTEN}`
        : `this user may not listen on ${place}; choose another place with ${LISTEN}`;
    case 'EADDRNOTAVAIL':
      return error.message.startsWith('listen')
        ? `${address} is no address of this machine; choose another with ${LISTEN}`
        : error.message;
    case 'EINVAL':
      return error.message.startsWith('listen') && !address
        ? 'the socket that systemd has passed cannot be listened on: its unit needs ListenStream=, and no Accept=yes'
        : error.message;
    case 'ENOTFOUND':
      return `there is no host named ${hostname}`;
    case 'EAI_AGAIN':
      return `the name ${hostname} could not be looked up just now`;
    case 'ERR_KEYMUX_STREAM_RESET': // says less than what it was caused by
      return error.cause === undefined ? error.message : '';
    default:
      return error.message;
  }
}

/** Text without what a terminal would obey: what a peer says ends up on the user's screen. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, '.');
}

export type Style = Parameters<typeof styleText>[0];

/** Colours text if it goes to a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string, stream: { isTTY?: boolean } = process.stderr): string {
  const plain = !stream.isTTY || (process.env.NO_COLOR ?? '') !== '';
  return plain ? text : styleText(style, text);
}

/** Colours what goes to standard output. */
export function shade(style: Style, text: string): string {
  return paint(style, text, process.stdout);
}
