import { type ControlFrame, GOAWAY, RST, SETTING } from '@keymux/frames';
import { algorithmName } from '@keymux/keys';

type Fields = Readonly<Record<string, number | string | boolean>>;

/** The name of a frame's type in the specification, and its fields but for stream, flags, headers and negotiation data. */
export function describeFrame(frame: ControlFrame): { readonly type: string } & Fields {
  switch (frame.type) {
    case 'syn-stream': {
      const { associatedId, priority, slot } = frame;
      return { type: 'SYN_STREAM', ...(associatedId > 0 && { associatedId }), priority, slot };
    }
    case 'rst-stream':
      return { type: 'RST_STREAM', status: nameOf(RST, frame.status) };
    case 'goaway':
      return { type: 'GOAWAY', lastGoodId: frame.lastGoodId, status: nameOf(GOAWAY, frame.status) };
    case 'settings':
      return {
        type: 'SETTINGS',
        ...Object.fromEntries(
          frame.entries.map(({ id, value }) => [nameOf(SETTING, id), settingOf(id, value)]),
        ),
      };
    case 'ping':
      return { type: 'PING', id: frame.id };
    case 'window-update':
      return { type: 'WINDOW_UPDATE', delta: frame.delta };
    case 'key-nego':
      return { type: 'KEY_NEGO', keyId: frame.keyId, data: frame.data.length };
    case 'key-switch': {
      const { previousKeyId, previousGeneration, count } = frame;
      return { type: 'KEY_SWITCH', previousKeyId, previousGeneration, count };
    }
    case 'key-update':
      return { type: 'KEY_UPDATE', count: frame.count };
    case 'key-gone':
      return { type: 'KEY_GONE', keyId: frame.keyId };
    case 'front-hello':
    case 'front-nego':
    case 'front-sent': // of the link behind a front, which is no session
      return { type: 'UNKNOWN' };
    case 'stream-end':
      return { type: 'STREAM_END', total: frame.total };
    case 'unknown':
      return { type: 'UNKNOWN', code: frame.code };
    case 'syn-reply':
      return { type: 'SYN_REPLY' };
    case 'headers':
      return { type: 'HEADERS' };
    case 'padding':
      return { type: 'PADDING' };
  }
}

export function flagsOf(frame: ControlFrame): string[] {
  const flags: string[] = [];
  if ('fin' in frame && frame.fin) flags.push('FIN');
  if ('unidirectional' in frame && frame.unidirectional) flags.push('UNIDIRECTIONAL');
  if ('payloadOutside' in frame && frame.payloadOutside) flags.push('PAYLOAD_OUTSIDE');
  if ('reject' in frame && frame.reject) flags.push('REJECT');
  if ('retire' in frame && frame.retire) flags.push('RETIRE');
  if ('renegotiate' in frame && frame.renegotiate) flags.push('RENEGOTIATE');
  if ('clear' in frame && frame.clear) flags.push('CLEAR');
  return flags;
}

/** KEYMUX is a nesting depth and a set of ALG_IDs (spec 2.6). */
function settingOf(id: number, value: number): number | string {
  if (id !== SETTING.KEYMUX) return value;
  const names = Array.from({ length: 24 }, (_, bit) => bit).filter((bit) => (value >>> bit) & 1);
  return `depth ${value >>> 24}: ${names.map(algorithmName).join(', ')}`;
}

function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(table).find(([, known]) => known === value)?.[0] ?? String(value);
}
