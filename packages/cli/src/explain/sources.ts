import type { Chosen, Source } from '../settings.ts';
import type { SourceStatement } from './schema.ts';

/** Where a value came from, as data. */
export function stateSource({ option, index, from }: Source, value?: string): SourceStatement {
  const common = { option, ...(value === undefined ? {} : { value }) };
  switch (from.kind) {
    case 'environment':
      return { ...common, from: from.kind, variable: from.variable };
    case 'file':
      return { ...common, from: from.kind, ...from.at(index) };
    default:
      return { ...common, from: from.kind };
  }
}

export function stateChosen({ value, source }: Chosen<unknown>): SourceStatement {
  return stateSource(source, value === undefined ? undefined : String(value));
}
