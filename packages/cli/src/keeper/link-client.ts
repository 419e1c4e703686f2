import { Client } from '@keymux/client';
import { KnownHostsFile } from '@keymux/keys';
import type { MuxStream } from '@keymux/streams';
import { ConfigError } from '../errors.ts';
import type { Output } from '../output.ts';
import { loadProxy, requestFor } from '../route/keepers.ts';
import { planKnownHosts } from '../route/plan.ts';
import type { Chosen } from '../settings.ts';
import { LINK_ALGORITHMS, LINK_HOST, LINK_PORT } from './link.ts';

/** How a process proves to a keeper who it is, and knows who the keeper is. */
export interface LinkOptions {
  readonly keeperKey?: string | undefined;
  readonly keeperIdentity?: string | undefined;
  readonly knownHosts?: string | undefined;
}

export interface Link {
  readonly knownHosts: KnownHostsFile;
  /** Opens a call. Rejects if there is no keeper, or not the right one. */
  call(signal: AbortSignal): Promise<MuxStream>;
}

/** A link that is silent for 5 seconds is asked for a sign of life, and given up after 5 more: nobody can negotiate before that is known. */
const CONFIG = { keepAlive: 5_000, keepAliveTimeout: 5_000 };

/**
 * What opens calls to a keeper elsewhere, each over a session of its own (spec 12.7). Reads this process's own key; rejects with ConfigError or KeyError
 * if there is none, or it cannot be used.
 */
export async function prepareLink(
  address: string,
  { keeperKey, keeperIdentity, knownHosts }: LinkOptions,
  output: Output,
): Promise<Link> {
  const source = { option: 'keeper', from: { kind: 'default' } } as const;
  const chosen = <T>(value: T): Chosen<T> => ({ value, source });
  if ((keeperKey === undefined) === (keeperIdentity === undefined))
    throw new ConfigError(
      'a keeper elsewhere must know who calls: give one of --keeper-key FILE and --keeper-identity FILE',
    );
  const key =
    keeperKey === undefined
      ? ({ kind: 'identity', identity: chosen(keeperIdentity as string) } as const)
      : ({ kind: 'shared', file: chosen(keeperKey), algorithms: chosen(LINK_ALGORITHMS) } as const);
  const known = new KnownHostsFile(planKnownHosts(chosen(knownHosts)).value);
  const keys = await loadProxy({ address: chosen(address), key }, known.name, output);
  const request = requestFor(key, keys, '') as NonNullable<ReturnType<typeof requestFor>>;
  const call = async (signal: AbortSignal): Promise<MuxStream> => {
    const client = await Client.connect(address, { keeper: keys.keeper, config: CONFIG, signal });
    const abort = (): void => client.session.destroy(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      const key = await client.negotiate(request);
      const stream = await client.tunnel(LINK_HOST, LINK_PORT, { key });
      stream.once('close', () => client.session.destroy());
      return stream;
    } catch (error) {
      client.session.destroy();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  };
  return { knownHosts: known, call };
}
