import { shade } from '../output.ts';
import { drawPicture } from './picture.ts';
import type { Explanation, KeyStatement, SourceStatement, WireStatement } from './schema.ts';

const INDENT = 5;

/** Shows an explanation to people: the picture, then the keys, what a listener gets, and what else is to be known. */
export function drawExplanation(explanation: Explanation, width = process.stdout.columns ?? 120): string {
  const { target, basis, keys, wires, decidedBy, notes } = explanation;
  const how =
    basis === 'configuration'
      ? 'What the options promise; nothing was connected.'
      : 'What was negotiated just now; no request was sent.';
  const fold = (text: string, indent: number, first: string): string => foldText(text, width, indent, first);
  const paragraphs = [
    [shade('bold', target), fold(how, 2, '')],
    drawPicture(explanation, width),
    ...keys.map((key) => [
      fold(titleOf(key), INDENT, `[${key.name}]  `),
      ...factsOf(key).map((fact) => fold(fact, INDENT + 4, ' '.repeat(INDENT + 2))),
      ...drawSources(key.decidedBy, width),
    ]),
    decidedBy.length > 0 ? ['The way:', ...drawSources(decidedBy, width)] : [],
    [
      fold('Besides who talks to whom, when and how much, a listener gets', 2, ''),
      ...wires.map((wire) => fold(sightOf(wire), 12, `  ${wire.name}  `)),
    ],
    notes.map((note) => fold(note, 2, '- ')),
  ];
  const text = paragraphs.filter((lines) => lines.length > 0).map((lines) => lines.join('\n'));
  return `${text.join('\n\n')}\n`;
}

function titleOf({ with: party, when, algorithms, level, forwardSecrecy, negotiated }: KeyStatement): string {
  const key = negotiated ? `key ${negotiated.id}` : 'key';
  const made = when === 'prompted' ? ', if it prompts for one' : '';
  const secrecy = forwardSecrecy ? 'forward secrecy' : 'no forward secrecy with psk';
  return `${key} with ${party}${made}: ${algorithms.join(', else ')}; ${level}, ${secrecy}`;
}

function factsOf({ label, proves, own, knownAs, known = [], negotiated }: KeyStatement): string[] {
  if (proves === 'shared key') return [`label ${label}`];
  if (proves === 'nobody') return [];
  return [
    ...(own ? [`you are ${own.identity}`] : []),
    ...(negotiated ? [`it is ${negotiated.peer}`] : []),
    ...known.map(
      ({ path, line, fingerprint, revoked }) =>
        `${knownAs} ${revoked ? 'must not have' : 'has'} the key ${fingerprint}: ${path}:${line}`,
    ),
  ];
}

/** One line a decision: the option, and what gave it its value. */
function drawSources(sources: readonly SourceStatement[], width: number): string[] {
  const lines = sources.map((source) => {
    const { option, value } = source;
    const shown = value === undefined ? '' : ` ${value}`;
    return [`--${option}${value === 'true' ? '' : shown}`, placeOf(source)] as const;
  });
  const widest = Math.max(...lines.map(([option]) => option.length));
  return lines.map(([option, place]) => {
    const left = ' '.repeat(INDENT + 2);
    const oneLine = `${left}${option.padEnd(widest)}  ${place}`;
    return oneLine.length <= width ? oneLine : foldText(`${option}: ${place}`, width, INDENT + 6, left);
  });
}

function placeOf({ from, variable, path, line, property, value }: SourceStatement): string {
  switch (from) {
    case 'environment':
      return `environment variable ${variable}`;
    case 'file':
      return `${path}:${line}, property ${property}`;
    case 'default':
      return value === undefined ? 'not given' : 'by default';
    default:
      return from;
  }
}

function sightOf({ sees }: WireStatement): string {
  const seen = sees.map(({ fact, detail, key, when }) => {
    const owner = key === undefined ? '' : ` of [${key}]`;
    const condition = when === 'always' ? '' : when === 'prompted' ? ' if prompted' : ' if not prompted';
    return `the ${fact}${owner} (${detail})${condition}`;
  });
  return seen.length === 0 ? 'nothing else' : seen.join(', ');
}

/** Breaks text at spaces so that it fits; `first` stands before the first line, the others are indented. */
function foldText(text: string, width: number, indent: number, first: string): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = ' '.repeat(indent) + word;
    } else line += (empty ? '' : ' ') + word;
    empty = false;
  }
  return [...lines, line].join('\n');
}
