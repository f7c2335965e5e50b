declare module 'jstat' {
  const jStat: {
    readonly studentt: { inv(p: number, degreesOfFreedom: number): number };
    readonly beta: { inv(p: number, alpha: number, beta: number): number };
    ibeta(x: number, alpha: number, beta: number): number;
  };
  export default jStat;
}
