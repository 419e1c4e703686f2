import type { StreamHost } from '../src/mux-stream.ts';

/** A session that does nothing for its streams. */
export const IDLE_HOST: StreamHost = {
  send() {},
  end() {},
  reset() {},
  consume() {},
  reply() {},
  headers() {},
  switchKey() {},
  hold() {},
  letGo() {},
};
