/** Counts what clients have of something, and how much all of them together. */
export class Quota {
  #most = 0;
  #mostPerClient = 0;
  readonly #taken = new Map<string, number>();
  #total = 0;

  constructor(most: number, mostPerClient: number) {
    this.allow(most, mostPerClient);
  }

  /** Sets other bounds. Who has more than that keeps it, and gets no further one. */
  allow(most: number, mostPerClient: number): void {
    this.#most = most;
    this.#mostPerClient = mostPerClient;
  }

  /** Takes one for a client. Returns false, and takes none, if it or all together have as many as may be. */
  take(client: string): boolean {
    const taken = this.#taken.get(client) ?? 0;
    if (this.#total >= this.#most || taken >= this.#mostPerClient) return false;
    this.add(client);
    return true;
  }

  /** Counts one that a client has already, from before this quota, however many that makes. */
  add(client: string): void {
    this.#taken.set(client, (this.#taken.get(client) ?? 0) + 1);
    this.#total++;
  }

  /** Gives one back that was taken. */
  release(client: string): void {
    const left = (this.#taken.get(client) as number) - 1;
    if (left === 0) this.#taken.delete(client);
    else this.#taken.set(client, left);
    this.#total--;
  }
}
