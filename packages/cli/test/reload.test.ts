import { expect, test } from 'vitest';
import type { LogEvent, Output } from '../src/output.ts';
import { Reloader } from '../src/reload.ts';

/** A reloader whose reading takes until the test says so, and what happens, in order. */
function reloading({ started = true } = {}) {
  const story: string[] = [];
  const readings: { done: () => void; failed: (error: Error) => void }[] = [];
  const output = { log: ({ event }: LogEvent) => story.push(event) } as unknown as Output;
  const manager = { reloading: () => story.push('RELOADING'), ready: () => story.push('READY') };
  const reloader = new Reloader(
    () => new Promise((done, failed) => readings.push({ done, failed })),
    output,
    manager,
  );
  if (started) reloader.start();
  return { reloader, story, readings };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('asked while it reads, it reads once more, however often', async () => {
  const { reloader, story, readings } = reloading();
  for (let count = 0; count < 3; count++) reloader.request();
  expect(readings).toHaveLength(1);
  readings[0]?.done();
  await turn();
  expect(readings).toHaveLength(2);
  readings[1]?.done();
  await turn();
  expect(readings).toHaveLength(2);
  expect(story).toEqual(['RELOADING', 'reloaded', 'READY', 'RELOADING', 'reloaded', 'READY']);
});

test('what fails is said, and it is ready all the same', async () => {
  const { reloader, story, readings } = reloading();
  reloader.request();
  readings[0]?.failed(new Error('no'));
  await turn();
  expect(story).toEqual(['RELOADING', 'reload-refused', 'READY']);
  reloader.request();
  expect(readings).toHaveLength(2);
});

test('once the program ends, it neither reads nor calls itself ready', async () => {
  const { reloader, story, readings } = reloading();
  reloader.request();
  reloader.request();
  reloader.end();
  readings[0]?.done();
  await turn();
  reloader.request();
  expect(readings).toHaveLength(1);
  expect(story).not.toContain('READY');
});

test('what fails while the program ends, and may fail for that, is not said', async () => {
  const { reloader, story, readings } = reloading();
  reloader.request();
  reloader.end();
  readings[0]?.failed(new Error('a process has ended meanwhile'));
  await turn();
  expect(story).toEqual(['RELOADING']);
});

test('asked before the program has started, it reads once that is done', async () => {
  const { reloader, story, readings } = reloading({ started: false });
  reloader.request();
  reloader.request();
  expect([readings, story]).toEqual([[], []]);
  reloader.start();
  expect(readings).toHaveLength(1);
  readings[0]?.done();
  await turn();
  expect(story).toEqual(['RELOADING', 'reloaded', 'READY']);
});
