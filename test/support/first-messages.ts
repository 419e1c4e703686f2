import { encodeControl } from '@keymux/frames';
import { type Keeper, KeyRegistry } from '@keymux/keys';

/** First messages of runs that a client begins in one session, which nobody goes on with; they have the key IDs 1, 3, 5 and so on. */
export async function firstMessages(
  keeper: Keeper,
  count: number,
  run: { readonly algorithm: number; readonly label: string; readonly authority: string },
): Promise<Buffer[]> {
  const registry = new KeyRegistry({ role: 'client', keeper });
  const messages: Buffer[] = [];
  return new Promise((resolve) => {
    registry.onProgress = () => {
      for (let event = registry.poll(); event !== undefined; event = registry.poll()) {
        if (event.type !== 'send') continue;
        messages.push(Buffer.from(encodeControl({ type: 'key-nego', ...event.frame })));
        if (messages.length === count) resolve(messages);
      }
    };
    for (let index = 0; index < count; index++) registry.negotiate({ ...run, now: 0 });
  });
}
