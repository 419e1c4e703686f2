/** What waits, for each client in order, and the clients in turns: who has much waiting does not delay who has little. */
export class FairQueue<T> {
  /** Clients with something waiting; the next one in turn is first. */
  readonly #waiting = new Map<string, T[]>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(client: string, item: T): void {
    const own = this.#waiting.get(client);
    if (own === undefined) this.#waiting.set(client, [item]);
    else own.push(item);
    this.#length++;
  }

  shift(): T | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [client, items] = first;
    this.#waiting.delete(client);
    const item = items.shift();
    if (items.length > 0) this.#waiting.set(client, items); // behind all others
    this.#length--;
    return item;
  }
}
