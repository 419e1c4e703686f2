import { formatKeyLogEntry, openLogged, PreSharedKey, parseKeyLog } from '@keymux/keys';
import fc from 'fast-check';
import { DAMAGE, damaged, hex, must, mustEqual, refusal } from '../checks.ts';
import { target } from '../target.ts';

interface Case {
  readonly size: number;
  readonly byte: number;
  readonly log: Uint8Array;
}

const entry = fc
  .record({
    keyId: fc.nat(300),
    generation: fc.nat(300),
    from: fc.constantFrom('client' as const, 'server' as const),
    key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    iv: fc.uint8Array({ minLength: 12, maxLength: 12 }),
  })
  .map(formatKeyLogEntry);
const line = fc.oneof(
  { weight: 4, arbitrary: entry },
  fc.constantFrom('', '# comment', 'CLIENT_RANDOM 00 11'),
);

/** Key files of any size and key logs of any text: used as they are, or refused by name. */
export const keyFiles = target<Case>({
  name: 'key-files',
  cases: fc.record({
    size: fc.oneof(fc.nat(40), fc.integer({ min: 1_048_570, max: 1_048_580 })),
    byte: fc.nat(255),
    log: fc
      .tuple(
        fc.array(line, { maxLength: 4 }),
        fc.constantFrom('\n', '\r\n'),
        fc.array(DAMAGE, { maxLength: 2 }),
      )
      .map(([lines, end, damage]) => damaged(Buffer.from(lines.join(end)), damage)),
  }),
  check: ({ size, byte, log }) => {
    const length = Math.abs(size) % 2_000_000;
    const error = refusal(() => new PreSharedKey(Buffer.alloc(length, byte)));
    mustEqual(error?.code, length < 32 || length > 1_048_576 ? 'ERR_KEYMUX_KEY_FILE' : undefined, 'key file');

    const text = Buffer.from(log).toString('latin1');
    let entries: ReturnType<typeof parseKeyLog> = [];
    if (refusal(() => (entries = parseKeyLog(text))) !== undefined) return;
    for (const made of entries) {
      must(made.keyId <= 255 && made.generation <= 255, 'IDs and generations have 8 bits');
      openLogged(made);
    }
    const read = text.split(/\r?\n/).filter((given) => given !== '' && !given.startsWith('#'));
    mustEqual(entries.length, read.length, 'no line is passed over');
    for (const [index, made] of entries.entries()) {
      const [, , , from, key, iv] = read[index]?.split(' ') ?? [];
      mustEqual([made.from, hex(made.key), hex(made.iv)], [from, key, iv].map(String), 'written again');
    }
  },
  runs: 60,
});
