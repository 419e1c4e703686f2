import type { ReadStream, WriteStream } from 'node:tty';
import type { Line } from '../table.ts';
import { draw, type Picture } from './drawing.ts';
import { Pace } from './pace.ts';
import type { Act, Pane, View } from './view.ts';

/** Milliseconds that a line stays the newest. */
const LINE = 300;
/** Milliseconds for what the audience is told: a glance, and for each word of it. */
const [GLANCE, WORD] = [1500, 150];

const CONTROL = {
  enter: '\x1b[?1049h\x1b[?25l\x1b[2J',
  leave: '\x1b[?25h\x1b[?1049l',
};
const KEYS = { end: ['\x03', '\x04', 'q'], goOn: ['\r', '\n', ' '] };

interface Shown {
  readonly pane: Pane;
  readonly lines: readonly Line[];
  readonly seen: () => void;
}

export interface TerminalViewOptions {
  readonly speed: number;
  /** Wait for a key after each step. */
  readonly step: boolean;
  /** The audience has seen enough. */
  readonly onEnd: () => void;
}

/** The scene on a terminal: three panes, and what the audience is told below them. */
export class TerminalView implements View {
  readonly #out: WriteStream;
  readonly #in: ReadStream;
  readonly #pace: Pace;
  readonly #step: boolean;
  readonly #onEnd: () => void;
  #picture: Picture;
  /** As the terminal shows them now. */
  #rows: readonly string[] = [];
  /** What is still to be shown. What the ends say goes before what the wire holds back for it. */
  readonly #said: Shown[] = [];
  readonly #frames: Shown[] = [];
  #playing: Promise<void> | undefined;

  constructor(input: ReadStream, output: WriteStream, { speed, step, onEnd }: TerminalViewOptions) {
    this.#in = input;
    this.#out = output;
    this.#pace = new Pace(speed);
    this.#step = step && input.isTTY;
    this.#onEnd = onEnd;
    const hint = !input.isTTY ? '' : this.#step ? 'Enter: next step   q: end' : 'Enter: go on   q: end';
    this.#picture = { act: undefined, panes: EMPTY, told: [], page: undefined, hint };
    output.write(CONTROL.enter);
    output.on('resize', this.#redraw);
    process.once('exit', this.#restore);
    if (input.isTTY) {
      input.setRawMode(true);
      input.setEncoding('latin1').on('data', this.#onKeys).resume();
    }
    this.#draw();
  }

  begin(act: Act): void {
    this.#change({ act, panes: EMPTY, told: [] });
  }

  show(pane: Pane, lines: readonly Line[]): Promise<void> {
    return new Promise((seen) => {
      (pane === 'wire' ? this.#frames : this.#said).push({ pane, lines, seen });
      this.#playing ??= this.#play();
    });
  }

  async settled(): Promise<void> {
    await this.#playing;
  }

  async tell(told: readonly Line[]): Promise<void> {
    this.#change({ told });
    const words = told.reduce((sum, { text }) => sum + text.split(' ').length, 0);
    await this.#read(GLANCE + WORD * words);
  }

  async conclude(page: readonly Line[]): Promise<void> {
    this.#change({ page });
    await this.#read(6 * GLANCE);
  }

  close(): void {
    this.#out.off('resize', this.#redraw);
    process.off('exit', this.#restore);
    this.#in.off('data', this.#onKeys);
    this.#restore();
  }

  async #play(): Promise<void> {
    for (;;) {
      await this.#pace.pause(LINE);
      const next = this.#said.shift() ?? this.#frames.shift();
      if (next === undefined) break;
      const { panes } = this.#picture;
      this.#change({ panes: { ...panes, [next.pane]: [...panes[next.pane], ...next.lines] } });
      next.seen();
    }
    this.#playing = undefined;
  }

  #read(milliseconds: number): Promise<void> {
    return this.#pace.pause(this.#step ? undefined : milliseconds);
  }

  readonly #onKeys = (keys: string): void => {
    for (const key of keys) {
      if (KEYS.end.includes(key)) this.#onEnd();
      else if (KEYS.goOn.includes(key)) this.#pace.goOn();
    }
  };

  #change(change: Partial<Picture>): void {
    this.#picture = { ...this.#picture, ...change };
    this.#draw();
  }

  readonly #redraw = (): void => {
    this.#rows = [];
    this.#out.write('\x1b[2J');
    this.#draw();
  };

  /** Writes the rows that are not as they were. */
  #draw(): void {
    const { columns, rows } = this.#out;
    const drawn = draw(this.#picture, { columns, rows });
    const changed = drawn.map((text, row) => (text === this.#rows[row] ? '' : `\x1b[${row + 1};1H${text}`));
    this.#rows = drawn;
    this.#out.write(changed.join(''));
  }

  readonly #restore = (): void => {
    if (this.#in.isTTY) {
      this.#in.setRawMode(false);
      this.#in.pause();
    }
    this.#out.write(CONTROL.leave);
  };
}

const EMPTY = { client: [], wire: [], server: [] } as const;
