import type { Output } from './output.ts';

/**
 * Does `reload` on each SIGHUP, one after the other; returns what ends that. What it rejects with goes to the log: a file that cannot be used is
 * refused, and everything stays as it was.
 */
export function onReload(reload: () => Promise<void>, output: Output): () => void {
  let running = Promise.resolve();
  const handle = (): void => {
    running = running.then(reload).then(
      () => output.log({ event: 'reloaded' }, 'configuration and keys were read again'),
      (error: Error) => {
        const text = `not reloaded, everything stays as it was: ${reasonsOf(error)}`;
        output.log({ event: 'reload-refused', error: reasonsOf(error) }, text);
      },
    );
  };
  process.on('SIGHUP', handle);
  return () => void process.off('SIGHUP', handle);
}

function reasonsOf(error: Error): string {
  const reasons: string[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) reasons.push(cause.message);
  return reasons.join('; ');
}
