import type { CapturedRecord, TraceRecord } from '@keymux/trace';
import { printable, type Style, shade } from '../output.ts';

const REASONS = new Map([
  [1, 'it does not know the algorithm'],
  [2, 'it does not allow the algorithm'],
  [3, 'too many negotiations are in progress'],
  [4, 'it does not renegotiate'],
]);
const TYPE_WIDTH = 'WINDOW_UPDATE'.length;
const NUMBER_WIDTH = 3;

/** A frame as people read it: one line, and one more for each header. What stood in an envelope is indented. */
export function frameLines(record: CapturedRecord): string {
  const { time, connection, from, type, stream, headers = [], under, payload, tunnel = [] } = record;
  const clock = new Date(time).toISOString().slice(11, 23);
  const arrow = from === 'client' ? 'client >' : '< server';
  const place = `${clock} ${String(connection).padStart(NUMBER_WIDTH)} ${arrow} ${'| '.repeat(tunnel.length)}${under ? '  ' : ''}`;
  const parts = [type.padEnd(TYPE_WIDTH), stream === undefined ? '' : `stream ${stream}`, ...factsOf(record)];
  const line = `${shade('dim', place)}${shade(colourOf(record), parts.filter(Boolean).join('  '))}`;
  const indent = ' '.repeat(place.length + 2);
  const values = headers.map(([name, value]) => `${indent}${printable(name)}: ${printable(value)}`);
  return [line, ...values, ...hexLines(payload, indent)].join('\n');
}

/** Red is readable by everybody, green is sealed; what only this reader could open is yellow. */
export function colourOf({ type, under }: TraceRecord): Style {
  if (type === 'ERROR') return 'red';
  if (type === 'SEALED') return 'green';
  if (under !== undefined) return 'yellow';
  return type === 'DATA' || type.startsWith('SYN_') || type === 'HEADERS' ? 'red' : 'cyan';
}

/** What is to be said of a frame besides its type and stream. */
export function factsOf(record: TraceRecord): string[] {
  const { type, bytes, flags = [], fields = {}, nego } = record;
  if (type === 'ERROR') return [printable(String(fields.message))];
  if (nego !== undefined) return [negotiation(record)];
  if (type === 'SEALED') {
    const { keyId, generation, plaintext, opened } = fields;
    return [`key ${keyId}.${generation}`, `${plaintext} bytes inside`, opened ? 'opened' : ''];
  }
  const values = Object.entries(fields).map(([name, value]) => `${name} ${value}`);
  return [`${bytes} bytes`, ...flags, ...values];
}

/** What a KEY_NEGO frame does, in words. */
function negotiation({ nego, fields, bytes }: TraceRecord): string {
  const run = fields?.keyId;
  switch (nego?.kind) {
    case 'first': {
      const { algorithm, label, authority, offered = [] } = nego;
      if (label === undefined) return `asks for key ${run} by ${algorithm}; cannot be read further`;
      const whom = authority ? `for ${authority}` : 'for the peer itself';
      return `asks for key ${run} ${whom}, by ${algorithm}, label ${label}; would accept ${offered.join(', ')}`;
    }
    case 'reject': {
      const { reason = 0, accepted = [] } = nego;
      const why = REASONS.get(reason) ?? `reason ${reason}`;
      return `rejects key ${run}: ${why}; would accept ${accepted.join(', ') || 'nothing'}`;
    }
    case 'retire':
      return `retires key ${run}`;
    default:
      return `goes on with key ${run}, ${nego?.algorithm}, ${bytes} bytes`;
  }
}

function hexLines(payload: Uint8Array | undefined, indent: string): string[] {
  if (payload === undefined) return [];
  const lines: string[] = [];
  for (let at = 0; at < payload.length; at += 16) {
    const row = Buffer.from(payload.subarray(at, at + 16));
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    lines.push(`${indent}${hex.padEnd(48)} ${row.toString('latin1').replace(/[^ -~]/g, '.')}`);
  }
  return lines;
}

/** The same for scripts: one JSON object. */
export function frameJson({ time, payload, ...record }: CapturedRecord): string {
  const text = payload && { payload: Buffer.from(payload).toString('base64') };
  return JSON.stringify({ event: 'frame', time: new Date(time).toISOString(), ...record, ...text });
}
