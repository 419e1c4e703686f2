/** Taken items stay in the array until there are this many of them, so that moving the rest costs next to nothing. */
const COMPACT_AT = 64;

/** A queue on an array. Taking from the front costs the same however long it is, which `Array.shift` does not. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The item at the front. */
  peek(): T | undefined {
    return this.#items[this.#first];
  }

  shift(): T | undefined {
    if (this.#first === this.#items.length) return undefined;
    // Mostly there is one, and to take it from the end leaves the array its memory.
    if (this.#items.length === 1) return this.#items.pop();
    const item = this.#items[this.#first];
    this.#items[this.#first++] = undefined; // lets go of its memory
    if (this.#first === this.#items.length) this.clear();
    else if (this.#first >= COMPACT_AT && this.#first * 2 >= this.#items.length) this.#compact();
    return item;
  }

  /** Inserts `item` behind the last one that `matches`, at the front if none does. Costs as much as the queue is long. */
  insertBehindLast(matches: (item: T) => boolean, item: T): void {
    let at = this.#items.length;
    while (at > this.#first && !matches(this.#items[at - 1] as T)) at--;
    this.#items.splice(at, 0, item);
  }

  /** What waits, from the front. */
  *[Symbol.iterator](): Iterator<T> {
    for (let at = this.#first; at < this.#items.length; at++) yield this.#items[at] as T;
  }

  clear(): void {
    this.#items.length = 0;
    this.#first = 0;
  }

  #compact(): void {
    this.#items = this.#items.slice(this.#first);
    this.#first = 0;
  }
}
