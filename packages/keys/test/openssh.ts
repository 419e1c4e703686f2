import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A folder that goes when the test file is done. Short, since paths of Unix sockets are. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kmx-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface GeneratedKey {
  readonly path: string;
  readonly privateText: string;
  /** `TYPE BASE64` */
  readonly publicText: string;
  /** As ssh-keygen -l says. */
  readonly fingerprint: string;
}

/** A key made by the real ssh-keygen. */
export function generateKey(path: string, ...options: string[]): GeneratedKey {
  const type = options.includes('-t') ? [] : ['-t', 'ed25519'];
  const passphrase = options.includes('-N') ? [] : ['-N', ''];
  sshKeygen('-q', ...type, ...passphrase, '-C', 'alice@laptop', '-f', path, ...options);
  const [keyType, base64] = readFileSync(`${path}.pub`, 'utf8').split(' ');
  return {
    path,
    privateText: readFileSync(path, 'utf8'),
    publicText: `${keyType} ${base64}`,
    fingerprint: sshKeygen('-lf', path).split(' ')[1] ?? '',
  };
}

export function sshKeygen(...options: string[]): string {
  return execFileSync('ssh-keygen', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A real ssh-agent, in the foreground; it ends with the test file. */
export async function startAgent(
  folder: string,
): Promise<{ socket: string; add(...options: string[]): void }> {
  const socket = join(folder, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  afterAll(() => void agent.kill());
  await once(agent.stdout, 'data');
  const environment = { ...process.env, SSH_AUTH_SOCK: socket };
  return {
    socket,
    add: (...options) => {
      execFileSync('ssh-add', ['-q', ...options], { env: environment, stdio: 'ignore' });
    },
  };
}
