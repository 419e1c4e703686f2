import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  describeIdentity,
  formatPublicKey,
  hostName,
  type KnownHostsFile,
  UnknownHostError,
} from '@keymux/keys';
import type { Output } from './output.ts';
import { ask } from './terminal.ts';

/** A host is not known, and nobody was there to ask, or the answer was not yes. */
export class FirstContactError extends Error {
  override readonly name = 'FirstContactError';
  readonly code = 'ERR_KEYMUX_HOST_KEY';

  constructor({ host, identity }: UnknownHostError, file: string) {
    super(
      `the host ${hostName(host)} is not known. It says that it is ${describeIdentity(identity)}\n` +
        `  If its owner confirms that, add this line to ${file}:\n` +
        `  ${hostName(host)} ${formatPublicKey(identity)}`,
    );
  }
}

/**
 * Does something that connects to hosts. If one proves an identity and is not known yet, asks the user, writes the answer down and begins again: no run
 * waits for an answer, and the host must prove the same identity anew (spec 9.5). Throws FirstContactError if nobody says yes.
 */
export async function withFirstContact<T>(
  connect: () => Promise<T>,
  file: KnownHostsFile,
  output: Output,
): Promise<T> {
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      const unknown = unknownHost(error);
      if (unknown === undefined) throw error;
      // A process that may not write the file need not ask.
      const mayWrite = process.permission?.has('fs.write', file.name) ?? true;
      if (!mayWrite || !(await confirms(unknown))) throw new FirstContactError(unknown, file.name);
      await mkdir(dirname(file.name), { recursive: true, mode: 0o700 });
      await file.add(unknown.host, unknown.identity);
      const { host, identity } = unknown;
      output.log(
        { event: 'known-host', host: hostName(host), identity: describeIdentity(identity) },
        `${hostName(host)} is now in ${file.name}`,
      );
    }
  }
}

async function confirms({ host, identity }: UnknownHostError): Promise<boolean> {
  const answer = await ask(
    `The host ${hostName(host)} is not known. It says that it is\n  ${describeIdentity(identity)}\n` +
      'Is that what its owner told you, and do you trust it from now on? Type yes: ',
  );
  return answer === 'yes';
}

function unknownHost(error: unknown): UnknownHostError | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof UnknownHostError) return cause;
  }
  return undefined;
}
