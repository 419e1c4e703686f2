import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ConfigError } from './errors.ts';
import { readHidden } from './terminal.ts';

/**
 * Asks for the passphrase of a key file, as ssh does: on the terminal, or by the program that SSH_ASKPASS names where there is no terminal or
 * SSH_ASKPASS_REQUIRE wants it. Undefined if nobody can be asked.
 */
export async function askPassphrase(path: string, attempt: number): Promise<Uint8Array | undefined> {
  const { SSH_ASKPASS, SSH_ASKPASS_REQUIRE } = process.env;
  const prompt = `${attempt > 1 ? 'That was not right. ' : ''}Passphrase for ${path}: `;
  const wanted = SSH_ASKPASS_REQUIRE === 'force' || SSH_ASKPASS_REQUIRE === 'prefer';
  const usesProgram = SSH_ASKPASS && SSH_ASKPASS_REQUIRE !== 'never' && (wanted || !process.stdin.isTTY);
  return usesProgram ? askProgram(SSH_ASKPASS, prompt) : readHidden(prompt);
}

/**
 * What the program writes, up to the first line end; undefined if it fails, which is how its user says no. Rejects with ConfigError if it cannot be
 * run.
 */
async function askProgram(program: string, prompt: string): Promise<Uint8Array | undefined> {
  const child = spawn(program, [prompt], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(child, 'close').catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`SSH_ASKPASS names ${program}, which cannot be run (${error.code})`);
  })) as [number | null];
  const whole = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  if (code !== 0) return undefined;
  const end = whole.findIndex((byte) => byte === LINE_FEED || byte === RETURN);
  return end < 0 ? whole : whole.subarray(0, end);
}

const LINE_FEED = 0x0a;
const RETURN = 0x0d;
