/** A cell of the results: a column of a work, for a contender. */
export interface Cell {
  readonly work: string;
  readonly column: string;
  readonly contender: string;
}

/** A ratio of two medians of the same run, or one median if there is nothing to divide by. */
export interface Goal {
  readonly title: string;
  readonly of: Cell;
  readonly against?: Cell;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const cell = (work: string, column: string, contender: string): Cell => ({ work, column, contender });

/** One column of one work, for two contenders. */
function versus(
  work: string,
  column: string,
  of: string,
  against: string,
  bound: { atLeast: number } | { atMost: number },
): Goal {
  const title = `${work} ${column}: ${of} / ${against}`;
  return { title, of: cell(work, column, of), against: cell(work, column, against), ...bound };
}

function absolute(
  work: string,
  column: string,
  of: string,
  bound: { atLeast: number } | { atMost: number },
): Goal {
  return { title: `${work} ${column}: ${of}`, of: cell(work, column, of), ...bound };
}

function between(
  title: string,
  of: Cell,
  against: Cell,
  bound: { atLeast: number } | { atMost: number },
): Goal {
  return { title, of, against, ...bound };
}

export const GOALS: readonly Goal[] = [
  versus('T1 down', 'mbPerSecond', 'keymux', 'tls-in-tls', { atLeast: 1.5 }),
  versus('T1 down', 'cpu', 'keymux', 'tls-in-tls', { atMost: 0.72 }),
  versus('T1 down', 'mbPerSecond', 'keymux', 'ssh', { atLeast: 1.1 }),
  versus('T1 down', 'mbPerSecond', 'keymux', 'spiped', { atLeast: 3.5 }),
  versus('T2', 'mbPerSecond', 'keymux', 'tls-in-tls', { atLeast: 1.4 }),
  versus('T2', 'cpu', 'keymux', 'tls-in-tls', { atMost: 0.72 }),
  versus('T1 down', 'mbPerSecond', 'keymux-clear', 'relay', { atLeast: 1.4 }),
  versus('T1 down', 'cpu', 'keymux-clear', 'relay', { atMost: 0.75 }),
  versus('T1 down', 'mbPerSecond', 'keymux-clear', 'spdy-transport', { atLeast: 2.4 }),
  between(
    'T1 up / down: keymux',
    cell('T1 up', 'mbPerSecond', 'keymux'),
    cell('T1 down', 'mbPerSecond', 'keymux'),
    { atLeast: 0.9 },
  ),
  versus('rps', 'perSecond', 'keymux', 'tls-in-tls', { atLeast: 2.2 }),
  versus('rps', 'perSecond', 'keymux', 'http2', { atLeast: 1 }),
  versus('rps', 'perSecond', 'keymux-clear', 'relay', { atLeast: 1.5 }),
  versus('T3', 'p50', 'keymux', 'tls-in-tls', { atMost: 1 }),
  between(
    'T3 p99 beside bulk / alone: keymux',
    cell('T3 beside bulk', 'p99', 'keymux'),
    cell('T3', 'p99', 'keymux'),
    { atMost: 3 },
  ),
  versus('T4', 'perSecond', 'keymux', 'tls-in-tls', { atLeast: 10 }),
  versus('T4', 'perSecond', 'keymux', 'ssh', { atLeast: 1 }),
  versus('T5', 'perSecond', 'keymux-psk-x25519', 'tls', { atLeast: 2.7 }),
  versus('T5', 'perSecond', 'keymux-signed', 'tls', { atLeast: 2 }),
  versus('T5', 'perSecond', 'keymux-psk', 'tls', { atLeast: 8 }),
  versus('T5', 'perSecond', 'keymux-spiped', 'tls', { atLeast: 1.2 }),
  absolute('T6', 'proxyIdle', 'keymux', { atMost: 6 }),
  absolute('T6', 'clientIdle', 'keymux', { atMost: 8 }),
  absolute('T6', 'clientUsed', 'keymux', { atMost: 48 }),
  versus('T7 100 ms', 'mbPerSecond', 'keymux', 'tcp', { atLeast: 0.95 }),
  // Raw TCP takes two round trips: to shake hands, and for a byte there and back. Early data has to take no more; one more makes
  // forward secrecy for all but the CONNECT.
  versus('T7 100 ms', 'firstByte', 'keymux-early', 'tcp', { atMost: 1.1 }),
  versus('T7 100 ms', 'firstByte', 'keymux-early-connect', 'tcp', { atMost: 1.6 }),
  absolute('T9', 'parse', 'codec', { atLeast: 20 }),
  between(
    'T9: a frame of 10,000 streams / of one',
    cell('T9', 'nsPerFrame10000', 'codec'),
    cell('T9', 'nsPerFrame1', 'codec'),
    { atMost: 1.2 },
  ),
];
