import { fit, type Line, wrap } from '../table.ts';
import type { Act, Pane, View } from './view.ts';

const LABEL = 8;

/** The scene line by line, where there is no terminal or it is too small. */
export class PlainView implements View {
  readonly #print: (text: string) => void;

  constructor(print: (text: string) => void) {
    this.#print = print;
  }

  begin({ number, title }: Act): void {
    this.#print(`\n${number} of 3  ${title}`);
  }

  async show(pane: Pane, lines: readonly Line[]): Promise<void> {
    for (const line of unbroken(lines)) this.#print(`  ${pane.padEnd(LABEL)}${line}`);
  }

  async settled(): Promise<void> {}

  async tell(lines: readonly Line[]): Promise<void> {
    this.#print(
      `\n${unbroken(lines)
        .map((line) => `  ${line}`)
        .join('\n')}\n`,
    );
  }

  async conclude(): Promise<void> {
    // It is printed at the end in any case.
  }

  close(): void {}
}

function unbroken(lines: readonly Line[]): string[] {
  return lines
    .flatMap((line) => wrap(line, Number.POSITIVE_INFINITY))
    .map((line) => fit(line, line.text.length));
}
