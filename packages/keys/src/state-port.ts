/** Where the keys of a session that is handed over are written to (spec 13.5): StateWriter of `@keymux/frames`. */
export interface StateSink {
  u8(value: number): void;
  u16(value: number): void;
  u32(value: number): void;
  u64(value: number): void;
  flag(value: boolean): void;
  raw(value: Uint8Array): void;
  text(value: string): void;
  optional<T>(value: T | undefined, write: (value: T) => void): void;
  list<T>(values: Iterable<T>, write: (value: T) => void): void;
}

/** And where they are read from: StateReader. It throws at whatever is not there, or not what it may be. */
export interface StateSource {
  u8(most?: number): number;
  u16(): number;
  u32(): number;
  u64(most?: number): number;
  flag(): boolean;
  /** A copy of the next bytes. */
  raw(length: number): Uint8Array;
  text(): string;
  optional<T>(read: () => T): T | undefined;
  list(read: () => void): void;
  /** The error for what is there and cannot be right. */
  malformed(fault: string): Error;
}
