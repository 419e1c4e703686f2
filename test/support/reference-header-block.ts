/**
 * A naive reader of header blocks, to compare the real one with, written from spec 1.3 and 1.7: it looks at one rule after the other over the whole block.
 */

const NAME = /^:?[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** The headers of a block that breaks no rule; undefined for any other. */
export function referenceHeaderBlock(block: Uint8Array): [string, string][] | undefined {
  const bytes = Buffer.from(block);
  if (bytes.length < 4) return undefined;
  const pairs: [string, string][] = [];
  let at = 4;
  const text = (): string | undefined => {
    if (at + 4 > bytes.length) return undefined;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) return undefined;
    const piece = bytes.toString('latin1', at + 4, end);
    at = end;
    return piece;
  };
  for (let count = bytes.readUInt32BE(0); count > 0; count--) {
    const [name, value] = [text(), text()];
    if (name === undefined || value === undefined) return undefined;
    pairs.push([name, value]);
  }
  if (at !== bytes.length) return undefined;

  const headers = pairs.flatMap(([name, joined]) =>
    joined.split('\0').map((value): [string, string] => [name, value]),
  );
  const size = pairs.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  const several = ([name]: [string, string]): boolean =>
    headers.filter(([other]) => other === name).length > 1;
  const sound =
    size <= 65_536 &&
    headers.length <= 100 &&
    new Set(pairs.map(([name]) => name)).size === pairs.length &&
    pairs.every(([name]) => NAME.test(name)) &&
    headers.every(([, value]) => !/[\0\r\n]|^[ \t]|[ \t]$/.test(value)) &&
    headers.every((header) => header[1] !== '' || !several(header));
  return sound ? headers : undefined;
}

/** A block of pairs as they are, right or wrong; characters above U+00FF lose what is above. */
export function referencePairs(pairs: readonly (readonly [string, string])[]): Buffer {
  const text = (content: string): Buffer => {
    const bytes = Buffer.from(content, 'latin1');
    return Buffer.concat([number(bytes.length), bytes]);
  };
  return Buffer.concat([
    number(pairs.length),
    ...pairs.flatMap(([name, value]) => [text(name), text(value)]),
  ]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
