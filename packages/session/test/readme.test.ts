import { readFileSync } from 'node:fs';
import { Session } from '@keymux/session';
import { expect, test } from 'vitest';

test('the example of the README does what it says', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```js\nimport .*\n([^`]*)```/.exec(readme)?.[1];
  if (code === undefined) throw new Error('there is no example');
  const promised = /client\.nextEvent\(\): (.*)$/m.exec(code)?.[1]?.split(', ');
  const { client } = new Function('Session', `${code}; return { client };`)(Session) as { client: Session };
  const types: string[] = [];
  for (let event = client.nextEvent(); event !== undefined; event = client.nextEvent())
    types.push(event.type);
  expect(types).toEqual(promised);
});
