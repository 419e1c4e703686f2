import { setFlagsFromString } from 'node:v8';

/**
 * Sets up the memory of a process that carries much payload. Node makes a buffer for nearly each piece that is read or sealed, and by default
 * a program of some size spends up to half of its time on collecting them and on fresh pages. To be called once, at the start. It speeds up
 * anything that moves bytes, with or without keymux; the price is some 50 MB that a process may keep.
 */
export function tuneMemory(): void {
  // Buffers count as old memory until they are collected. V8 lets the old generation grow by about half before it marks all of it: with
  // 15 MB of program, each 32 MB of buffers that come and go would be a reason. This is the percentage to grow by; it is read each time.
  setFlagsFromString('--heap-growing-percent=400');
  // glibc returns its uppermost free memory to the kernel whenever that is more than 128 KiB, and has to fault in pages for the next buffer.
  // When a block of this size is freed, it raises that threshold to twice the size (mallopt(3), M_MMAP_THRESHOLD).
  void new ArrayBuffer(8 * 1024 * 1024);
}
