/** How long one line speaks for all that happens, in milliseconds. */
const PAUSE = 10_000;

/**
 * For what strangers cause: says the first at once, and of those that come within ten seconds after that only how many they are, and the last of them.
 */
export function paced<T>(say: (number: number, last: T) => void): (what: T) => void {
  let paused = false;
  let number = 0;
  let last: T;
  const sayAll = (): void => {
    say(number, last);
    number = 0;
    paused = true;
    setTimeout(() => {
      paused = false;
      if (number > 0) sayAll();
    }, PAUSE).unref();
  };
  return (what) => {
    number++;
    last = what;
    if (!paused) sayAll();
  };
}
