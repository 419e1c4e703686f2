import type { Finding } from './guided.ts';

/** Makes a failing case smaller, part by part, as long as it fails with an error of the same kind. */
export async function shrink(
  input: unknown,
  error: unknown,
  failure: (input: unknown) => Promise<{ error: unknown } | undefined>,
): Promise<Finding> {
  let best: Finding = { input, error };
  let attempts = 0;
  for (let smaller = true; smaller && attempts < 3000; ) {
    smaller = false;
    for (const candidate of candidates(best.input)) {
      if (++attempts > 3000) break;
      const failed = await failure(candidate);
      if (failed === undefined || kindOf(failed.error) !== kindOf(error)) continue;
      best = { input: candidate, error: failed.error };
      smaller = true;
      break;
    }
  }
  return best;
}

function kindOf(error: unknown): string {
  const { name, message = '' } = error as Error;
  return `${name} ${message.replaceAll(/[0-9]+/g, '').slice(0, 20)}`;
}

/** Cases that are one step smaller. */
function* candidates(value: unknown): Generator<unknown> {
  if (typeof value === 'number' && value !== 0)
    yield* value > 1 ? [0, Math.floor(value / 2), value - 1] : [0];
  else if (value === true) yield false;
  else if (typeof value === 'string' || value instanceof Uint8Array) yield* shorter(value);
  else if (Array.isArray(value)) {
    for (let size = value.length; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < value.length; at += size)
        yield [...value.slice(0, at), ...value.slice(at + size)];
    }
    for (const [index, item] of value.entries())
      for (const smaller of candidates(item))
        yield value.map((other, at) => (at === index ? smaller : other));
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, field] of Object.entries(value))
      for (const smaller of candidates(field)) yield { ...value, [name]: smaller };
  }
}

function* shorter(value: string | Uint8Array): Generator<string | Uint8Array> {
  for (let size = value.length; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < value.length; at += size) {
      if (typeof value === 'string') yield value.slice(0, at) + value.slice(at + size);
      else yield Uint8Array.from([...value.subarray(0, at), ...value.subarray(at + size)]);
      if (size < 4 && at > 64) break; // byte by byte only at the beginning
    }
  }
}
