import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { findInMemory } from '../src/demo/memory.ts';
import { draw, type Picture, type Size } from '../src/demo/scene/drawing.ts';
import { Pace } from '../src/demo/scene/pace.ts';
import { PlainView } from '../src/demo/scene/plain-view.ts';
import { summarize } from '../src/demo/scene/summary.ts';

const PICTURE: Picture = {
  act: { number: 1, title: 'In the clear' },
  panes: {
    client: [{ text: 'POST /account' }, { text: '  sends PASSWORD-4711' }],
    wire: [
      { text: '> SYN_STREAM 1  92 bytes' },
      { text: '    POST site.test/account' },
      { text: '> DATA 1  21 bytes' },
      { text: `    ..PASSWORD-4711${'.'.repeat(31)}`, mark: { at: 6, length: 13 }, raw: 1 },
      { text: '< KEY_NEGO  asks for key 2 for site.test, by psk-x25519, label k-293e69d9b8197740' },
    ],
    server: [{ text: 'server 4712', style: 'dim' }],
  },
  told: [{ text: 'The client sends a password, and the server answers with a secret. There is no key yet.' }],
  page: undefined,
  hint: 'Enter: go on   q: end',
};

const trimmed = (rows: readonly string[]): string => `\n${rows.map((row) => row.trimEnd()).join('\n')}\n`;

describe('a picture', () => {
  test('in the least window', () => {
    expect(trimmed(draw(PICTURE, { columns: 76, rows: 18 }))).toMatchInlineSnapshot(`
      "
       keymux demo wiretap   1 of 3   In the clear
      ----------------------------------------------------------------------------
       CLIENT            | WIRE                               | SERVER
       POST /account     | > SYN_STREAM 1  92 bytes           | server 4712
         sends           |     POST site.test/account         |
         PASSWORD-4711   | > DATA 1  21 bytes                 |
                         |     ..PASSWORD-4711............... |
                         |       ^^^^^^^^^^^^^                |
                         | < KEY_NEGO  asks for key 2 for     |
                         |   site.test, by psk-x25519, label  |
                         |   k-293e69d9b8197740               |
                         |                                    |
      ----------------------------------------------------------------------------
       The client sends a password, and the server answers with a secret. There
       is no key yet.


       Enter: go on   q: end
      "
    `);
  });

  test('in a usual window', () => {
    expect(trimmed(draw(PICTURE, { columns: 80, rows: 24 }))).toMatchInlineSnapshot(`
      "
       keymux demo wiretap   1 of 3   In the clear
      --------------------------------------------------------------------------------
       CLIENT             | WIRE                                 | SERVER
       POST /account      | > SYN_STREAM 1  92 bytes             | server 4712
         sends            |     POST site.test/account           |
         PASSWORD-4711    | > DATA 1  21 bytes                   |
                          |     ..PASSWORD-4711................. |
                          |       ^^^^^^^^^^^^^                  |
                          | < KEY_NEGO  asks for key 2 for       |
                          |   site.test, by psk-x25519, label    |
                          |   k-293e69d9b8197740                 |
                          |                                      |
                          |                                      |
                          |                                      |
                          |                                      |
                          |                                      |
                          |                                      |
                          |                                      |
      --------------------------------------------------------------------------------
       The client sends a password, and the server answers with a secret. There is no
       key yet.


       Enter: go on   q: end
      "
    `);
  });

  test.each<Size>([
    { columns: 76, rows: 18 },
    { columns: 81, rows: 24 },
    { columns: 200, rows: 60 },
    { columns: 75, rows: 40 },
    { columns: 20, rows: 3 },
  ])('fills a window of %o, and is never larger', ({ columns, rows }) => {
    for (const picture of [PICTURE, { ...PICTURE, page: summarize([{ who: 'wire', act: 1, found: [] }]) }]) {
      const drawn = draw(picture, { columns, rows });
      expect(drawn).toHaveLength(rows);
      expect(drawn.map(({ length }) => length)).toEqual(drawn.map(() => columns));
    }
  });

  test('of a pane that is full shows the newest', () => {
    const wire = Array.from({ length: 50 }, (_, number) => ({ text: `frame ${number}` }));
    const drawn = draw({ ...PICTURE, panes: { ...PICTURE.panes, wire } }, { columns: 80, rows: 24 }).join(
      '\n',
    );
    expect(drawn).toContain('frame 49');
    expect(drawn).not.toContain('frame 30');
    expect(drawn).toContain('WIRE');
  });

  test('of a window that is too small says what is needed', () => {
    expect(draw(PICTURE, { columns: 75, rows: 40 })[0]).toMatch(
      /needs a window of 76 x 18, this one is 75 x 40/,
    );
  });
});

test('the summary tells what was not found from what was not searched', () => {
  const findings = [
    { who: 'wire', act: 1, found: ['password'] },
    { who: 'server', act: 2, pid: 7, found: undefined },
  ];
  const [, , , wire, server, ...rest] = summarize(findings).map(({ text }) => text);
  expect(wire).toMatch(/^1 wire, in the clear +- +- +FOUND +-$/);
  expect(server).toMatch(/^2 server, one process +\? +\? +\? +\?$/);
  expect(rest.at(-1)).toMatch(/^\?: not searched\. .*Linux/);
  expect(
    summarize(findings.slice(0, 1))
      .map(({ text }) => text)
      .join(),
  ).not.toContain('?');
});

test('as plain text, lines are whole, and name their pane', async () => {
  const printed: string[] = [];
  const view = new PlainView((text) => printed.push(text));
  view.begin({ number: 1, title: 'In the clear' });
  await view.show('wire', PICTURE.panes.wire);
  await view.tell(PICTURE.told);
  expect(printed).toContain(
    '  wire    < KEY_NEGO  asks for key 2 for site.test, by psk-x25519, label k-293e69d9b8197740',
  );
  expect(printed).toContain(`  wire${' '.repeat(10)}${'^'.repeat(13)}`);
  expect(printed.at(-1)).toContain('There is no key yet.');
});

describe('the pace', () => {
  afterEach(() => vi.useRealTimers());

  test('is as fast as was asked for, and goes on at once when somebody wants to', async () => {
    vi.useFakeTimers();
    const pace = new Pace(2);
    let ended = 0;
    const end = (): void => {
      ended++;
    };
    void pace.pause(1000).then(end);
    await vi.advanceTimersByTimeAsync(499);
    expect(ended).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toBe(1);

    void pace.pause(1000).then(end);
    void pace.pause().then(end);
    await vi.advanceTimersByTimeAsync(499);
    expect(ended).toBe(1);
    pace.goOn();
    await vi.advanceTimersByTimeAsync(0);
    expect(ended).toBe(3);

    void pace.pause().then(end);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(ended).toBe(3); // without a number, for ever
  });
});

describe.skipIf(process.platform !== 'linux')('a search of memory', () => {
  const here = `${process.pid} ${performance.now()}`;
  const secrets = new Map([
    ['here', [Buffer.from('in another form'), Buffer.from(here)]],
    ['nowhere', [Buffer.from(`not ${here}`)]],
  ]);

  test('finds what is there, in one of its forms, and nothing else', async () => {
    const child = spawn('cat', { env: { HERE: here }, stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      child.stdin.write('x');
      await once(child.stdout, 'data'); // it runs
      expect(await findInMemory(child.pid as number, secrets)).toEqual(['here']);
    } finally {
      child.kill();
    }
  });

  test('is undefined, not empty, where it cannot be done', async () => {
    expect(await findInMemory(2 ** 30, secrets)).toBeUndefined();
  });
});
