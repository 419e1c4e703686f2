import { channel } from 'node:diagnostics_channel';

/**
 * Channels for tools that watch: `keymux.session.open`, `.close`, `.stream`, `.key`. A message is
 * `{ session, detail }`, where detail is the error of `close`, the MuxStream of `stream`, the KeyInfo of `key`.
 */
const CHANNELS = {
  open: channel('keymux.session.open'),
  close: channel('keymux.session.close'),
  stream: channel('keymux.session.stream'),
  key: channel('keymux.session.key'),
};

export function traceSession(event: keyof typeof CHANNELS, session: object, detail?: unknown): void {
  const target = CHANNELS[event];
  if (target.hasSubscribers) target.publish({ session, detail });
}
