import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';

/** Whether somebody sits there who can read a question and answer it. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Asks a question and returns the answer; undefined where nobody can be asked, or if the user gives up (Ctrl-C, Ctrl-D). */
export async function ask(question: string): Promise<string | undefined> {
  if (!isInteractive()) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Older versions of Node leave the question open for ever, newer ones reject it.
  const givenUp = once(lines, 'close').then(() => undefined);
  try {
    const answer = await Promise.race([lines.question(question).catch(() => undefined), givenUp]);
    if (answer === undefined) process.stderr.write('\n');
    return answer?.trim();
  } finally {
    lines.close();
  }
}

/** Asks for a line that is not shown; undefined where nobody can be asked, or if the user gives up (Ctrl-C, Ctrl-D). */
export async function readHidden(prompt: string): Promise<Uint8Array | undefined> {
  if (!isInteractive()) return undefined;
  const { stdin, stderr } = process;
  stdin.setRawMode(true); // before the question, so that a quick answer is not shown either
  stdin.resume();
  stderr.write(prompt);
  try {
    return await readLine();
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

async function readLine(): Promise<Uint8Array | undefined> {
  const line = Buffer.alloc(LONGEST);
  let length = 0;
  for (;;) {
    const [chunk] = (await once(process.stdin, 'data')) as [Buffer];
    for (const byte of chunk) {
      if (byte === CTRL_C || byte === CTRL_D) return undefined;
      if (byte === RETURN || byte === LINE_FEED) return line.subarray(0, length);
      if (byte === BACKSPACE || byte === DELETE) length = previousCharacter(line, length);
      else if (length < LONGEST) line[length++] = byte;
    }
    chunk.fill(0);
  }
}

/** The length without the last UTF-8 character. */
function previousCharacter(line: Buffer, length: number): number {
  let shorter = Math.max(0, length - 1);
  while (shorter > 0 && ((line[shorter] ?? 0) & 0xc0) === 0x80) shorter--;
  return shorter;
}

const LONGEST = 1024;
const CTRL_C = 3;
const CTRL_D = 4;
const BACKSPACE = 8;
const LINE_FEED = 10;
const RETURN = 13;
const DELETE = 127;
