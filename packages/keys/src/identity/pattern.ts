/** Whether `text` fits a pattern in which `*` stands for any characters and `?` for one. Takes time of at most their product. */
export function matchesPattern(pattern: string, text: string): boolean {
  let [at, position] = [0, 0];
  let star = -1;
  let resume = 0;
  while (position < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      resume = position;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[position])) {
      at++;
      position++;
    } else if (star >= 0) {
      at = star + 1;
      position = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
