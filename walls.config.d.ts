export const layers: Readonly<Record<string, readonly string[]>>;
export function walls(): { target: string; from: string[]; message: string }[];
