import type { RegistryEvent } from './registry-event.ts';

/** Events that wait to be polled. Somebody is told, once and never from within the call that made the event. */
export class EventQueue {
  onProgress: (() => void) | undefined;
  #events: RegistryEvent[] = [];
  #notifying = false;

  push(event: RegistryEvent): void {
    this.#events.push(event);
    this.notify();
  }

  shift(): RegistryEvent | undefined {
    return this.#events.shift();
  }

  get empty(): boolean {
    return this.#events.length === 0;
  }

  clear(): void {
    this.#events = [];
  }

  notify(): void {
    if (this.#notifying) return;
    this.#notifying = true;
    queueMicrotask(() => {
      this.#notifying = false;
      this.onProgress?.();
    });
  }
}
