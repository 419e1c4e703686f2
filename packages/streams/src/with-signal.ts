/**
 * A promise that `start` settles, unless the signal comes first: then it rejects with the signal's reason, and what `start` returned is
 * called to undo what it began.
 */
export function withSignal<T>(
  signal: AbortSignal | undefined,
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    let cancel = (): void => undefined;
    const abort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const settled = (): void => signal?.removeEventListener('abort', abort);
    signal?.addEventListener('abort', abort, { once: true });
    cancel = start(
      (value) => {
        settled();
        resolve(value);
      },
      (error) => {
        settled();
        reject(error);
      },
    );
  });
}
