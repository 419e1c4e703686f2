/** As much of npm's spdy as the tests use; it has no types of its own. */
declare module 'spdy' {
  import type { RequestListener, Server } from 'node:http';

  export function createServer(
    options: { spdy: { plain: true; ssl: false; connection?: { autoSpdy31: boolean } } },
    listener: RequestListener,
  ): Server;
}
