/** Names of labs, nodes, cells: safe as part of a path, of a namespace's name and of an `ip -batch` line. */
export const NAME_PATTERN = '^[a-zA-Z][a-zA-Z0-9_-]{0,31}$';
const NAME = new RegExp(NAME_PATTERN);
export const isName = (text: string): boolean => NAME.test(text);
