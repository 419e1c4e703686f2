import type { Destination } from './authority.ts';

/**
 * Whether a list of `host:port`, either of which may be `*`, has this destination in it (spec 9.4): the host is compared as text, and nothing is
 * looked up. It comes on top of the proxy's own rules.
 */
export function permits(list: readonly string[], { host, port }: Destination): boolean {
  return list.some((entry) => {
    const at = entry.lastIndexOf(':');
    const [allowedHost, allowedPort] = [entry.slice(0, at), entry.slice(at + 1)];
    return (
      (allowedHost === '*' || allowedHost === host.toLowerCase()) &&
      (allowedPort === '*' || allowedPort === String(port))
    );
  });
}
