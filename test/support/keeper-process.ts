import { readFile } from 'node:fs/promises';
import { KeymuxProcess } from './processes.ts';
import { longTermKeys } from './reference-keys.ts';
import type { Scope } from './scope.ts';
import { makeKey } from './tunnel.ts';
import { ALPHA, BETA } from './victims.ts';

/** A `keymux keeper` with the keys of two hosts: its main socket is for both, `alphaPath` for alpha alone. */
export interface KeeperProcess {
  readonly process: KeymuxProcess;
  readonly path: string;
  readonly alphaPath: string;
  readonly files: { readonly alpha: string; readonly beta: string };
  readonly labels: { readonly alpha: string; readonly beta: string };
  readonly auditLog: string;
  /** Another one, with the same sockets and keys. */
  restart(): Promise<KeymuxProcess>;
}

export async function startKeeper(scope: Scope, env: NodeJS.ProcessEnv = {}): Promise<KeeperProcess> {
  const file = await scope.directory();
  const files = { alpha: await makeKey(scope, 'alpha'), beta: await makeKey(scope, 'beta') };
  const [path, alphaPath, auditLog] = [file('keeper.sock'), file('alpha.sock'), file('audit.log')];
  const args = ['keeper', '--audit-log', auditLog];
  args.push('--listen', `unix:${path}`, '--listen', `${ALPHA}=unix:${alphaPath}`);
  args.push('--key', `${ALPHA}=${files.alpha}`, '--key', `${BETA}=${files.beta}`);
  const restart = () => KeymuxProcess.start(scope, args, env);
  const labelOf = async (name: string) => longTermKeys(await readFile(name)).label;
  const labels = { alpha: await labelOf(files.alpha), beta: await labelOf(files.beta) };
  return { process: await restart(), path, alphaPath, files, labels, auditLog, restart };
}
