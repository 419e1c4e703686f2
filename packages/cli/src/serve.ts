import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Output } from './output.ts';

interface Service {
  close(): Promise<void>;
}

/** Says where a service listens, runs it until SIGINT or SIGTERM, then lets it drain; a second signal ends it at once. */
export async function serveUntilSignal(
  what: string,
  service: Service,
  address: AddressInfo | string,
  output: Output,
): Promise<void> {
  const text = typeof address === 'string' ? `unix:${address}` : formatAddress(address);
  output.log({ event: 'listening', service: what, address: text }, `${what} listens on ${text}`);
  const stop = new AbortController();
  const wait = { signal: stop.signal };
  await Promise.race([once(process, 'SIGINT', wait), once(process, 'SIGTERM', wait)]);
  stop.abort();
  output.log({ event: 'draining' }, 'draining; a second signal ends it at once');
  await service.close();
}

export function formatAddress({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
