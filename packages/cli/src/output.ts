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

  constructor(options: { readonly json: boolean }) {
    this.json = options.json;
  }

  /** Something happened. `text` is how people read it; undefined if only scripts care. */
  log(event: LogEvent, text?: string): void {
    if (this.json) process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
    else if (text !== undefined) process.stderr.write(`${text}\n`);
  }

  warn(text: string): void {
    process.stderr.write(`${paint('yellow', 'warning')}: ${text}\n`);
  }

  result(text: string): void {
    process.stdout.write(`${text}\n`);
  }
}

/** Says what went wrong, and why as far as is known. */
export function printError(error: unknown): void {
  const lines: string[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause.message !== '' && !lines.some((line) => line.includes(cause.message)))
      lines.push(cause.message);
    if (cause instanceof AggregateError && cause.message === '') lines.push(String(cause.errors[0]));
  }
  process.stderr.write(`${paint('red', 'keymux')}: ${lines.join('\n  because: ') || String(error)}\n`);
}

export type Style = Parameters<typeof styleText>[0];

/** Colours text if it goes to a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string, stream: { isTTY?: boolean } = process.stderr): string {
  const plain = !stream.isTTY || (process.env.NO_COLOR ?? '') !== '';
  return plain ? text : styleText(style, text);
}
