import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Response } from '@keymux/client';
import { connectClient } from './library.ts';
import { KeymuxProcess } from './processes.ts';
import type { Scope } from './scope.ts';

/** A `keymux origin` with a file that no window holds, so that a download goes on for as long as it is not read. */
export class LargeSite {
  readonly server: KeymuxProcess;
  readonly #scope: Scope;
  readonly #hash: string;

  private constructor(scope: Scope, server: KeymuxProcess, hash: string) {
    this.#scope = scope;
    this.server = server;
    this.#hash = hash;
  }

  static async start(
    scope: Scope,
    options: { readonly args?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<LargeSite> {
    const file = await scope.directory();
    const content = randomBytes(2 ** 21);
    await writeFile(file('large'), content);
    const args = ['origin', '--dir', `large.test=${file('')}`, ...(options.args ?? [])];
    const server = await KeymuxProcess.start(scope, args, options.env);
    return new LargeSite(scope, server, createHash('sha256').update(content).digest('hex'));
  }

  /** Begins a download in a session of its own, and reads nothing of it. */
  async begin(): Promise<Response> {
    const client = await connectClient(this.#scope, this.server.address);
    return client.request({ host: 'large.test', path: '/large' });
  }

  /** Reads a download to its end; whether it is what it must be. Rejects if it breaks off. */
  async isWhole({ body }: Response): Promise<boolean> {
    const hash = createHash('sha256');
    for await (const chunk of body as AsyncIterable<Buffer>) hash.update(chunk);
    return hash.digest('hex') === this.#hash;
  }
}
