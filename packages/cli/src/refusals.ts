import type { Output } from './output.ts';

/** How long one line speaks for all that are refused, in milliseconds. */
const PAUSE = 10_000;

interface Server {
  on(event: 'refused', listener: (peer: string) => void): unknown;
}

/** Logs connections that a server has closed at once because all places are taken; a flood of them is no flood of lines. */
export function logRefusals(server: Server, output: Output): void {
  let paused = false;
  let number = 0;
  let last = '';
  const say = (): void => {
    output.log(
      { event: 'refused', connections: number, peer: last },
      `connections closed at once: ${number}, the last from ${last}: there are as many as --limit connections and connections-per-client let`,
    );
    number = 0;
    paused = true;
    setTimeout(() => {
      paused = false;
      if (number > 0) say();
    }, PAUSE).unref();
  };
  server.on('refused', (peer) => {
    number++;
    last = peer;
    if (!paused) say();
  });
}
