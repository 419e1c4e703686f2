import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Output } from './output.ts';

interface Service {
  close(): Promise<void>;
}

/**
 * Says where a service listens, runs it until SIGINT or SIGTERM, or until `stop` is aborted, then lets it drain; a second signal ends it at
 * once.
 */
export async function serveUntilSignal(
  what: string,
  service: Service,
  address: AddressInfo | string | readonly string[],
  output: Output,
  stop = new AbortController(),
): Promise<void> {
  for (const place of Array.isArray(address) ? address : [address]) {
    const text = typeof place === 'string' ? `unix:${place}` : formatAddress(place);
    output.log({ event: 'listening', service: what, address: text }, `${what} listens on ${text}`);
  }
  const wait = { signal: stop.signal };
  await Promise.race([once(process, 'SIGINT', wait), once(process, 'SIGTERM', wait)]).catch(() => undefined);
  stop.abort();
  output.log({ event: 'draining' }, 'draining; a second signal ends it at once');
  await service.close();
}

export function formatAddress({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
