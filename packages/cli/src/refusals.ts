import type { Output } from './output.ts';
import { paced } from './paced.ts';

interface Server {
  on(event: 'refused', listener: (peer: string) => void): unknown;
}

/** Logs connections that a server has closed at once because all places are taken; a flood of them is no flood of lines. */
export function logRefusals(server: Server, output: Output): void {
  const say = paced((connections, peer: string) =>
    output.log(
      { event: 'refused', connections, peer },
      `connections closed at once: ${connections}, the last from ${peer}: there are as many as --limit connections and connections-per-client let`,
    ),
  );
  server.on('refused', say);
}
