export { type Explanation, explanationSchema } from './explain/schema.ts';
export { main } from './main.ts';
