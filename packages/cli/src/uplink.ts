import type { Duplex } from 'node:stream';
import type { Client } from '@keymux/client';
import type { KeyInfo } from '@keymux/session';

/** A session with a proxy, for as long as there are tunnels in it or new ones may come. */
export class Uplink {
  readonly #client: Client;
  readonly #key: KeyInfo | undefined;
  /** Open, or being opened. */
  #tunnels = 0;
  #retired = false;

  constructor(client: Client, key: KeyInfo | undefined) {
    this.#client = client;
    this.#key = key;
  }

  /** Whether it is to have new tunnels, and can. */
  get usable(): boolean {
    return !this.#retired && this.#client.session.takesStreams;
  }

  /** Opens a tunnel, or rejects as `Client.tunnel` does. `selfProtected` is for payload that is not to be sealed a second time. */
  async tunnel(host: string, port: number, selfProtected: boolean, signal: AbortSignal): Promise<Duplex> {
    this.#tunnels++;
    try {
      const tunnel = await this.#client.tunnel(host, port, { key: this.#key, selfProtected, signal });
      tunnel.once('close', () => this.#ended());
      return tunnel;
    } catch (error) {
      this.#ended();
      throw error;
    }
  }

  /** Gets no new tunnels: another one takes its place. Ends when its tunnels have. */
  retire(): void {
    this.#retired = true;
    this.#endIfUnused();
  }

  /** Lets tunnels end, within the drain timeout of the session (spec 2.4). */
  async close(): Promise<void> {
    await this.#client.close();
  }

  #ended(): void {
    this.#tunnels--;
    this.#endIfUnused();
  }

  #endIfUnused(): void {
    if (this.#retired && this.#tunnels === 0) void this.close();
  }
}
