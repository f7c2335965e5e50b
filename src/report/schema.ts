/** JSON Schema of report.json (lab/report.schema.json): what a dashboard or a nightly job may rely on. */
import { Type } from 'typebox';

const outcome = Type.Enum(['pass', 'fail', 'inconclusive']);
/** null: that side of the interval is open. */
const bound = Type.Union([Type.Number(), Type.Null()]);

export const reportSchema = Type.Object(
  {
    schema: Type.Literal('netrig-report-1'),
    name: Type.String({ description: 'Name of the lab.' }),
    outcome,
    stopped: Type.Union([Type.String(), Type.Null()], { description: 'Why the run ended before its time; null: it did not.' }),
    startedAt: Type.String(),
    endedAt: Type.Union([Type.String(), Type.Null()]),
    verdicts: Type.Array(
      Type.Object(
        {
          cell: Type.String({ description: 'Cell of the matrix; "" without one.' }),
          target: Type.String(),
          requirement: Type.Union([Type.String(), Type.Null()]),
          check: Type.String(),
          kind: Type.Enum(['invariant', 'measurement'], { description: 'invariant: does not depend on the speed of the machine.' }),
          outcome,
          control: Type.Boolean({ description: 'Negative control: pass means that the check itself failed.' }),
          estimate: Type.Union(
            [Type.Object({ value: bound, low: bound, high: bound, n: Type.Number() }, { additionalProperties: false }), Type.Null()],
            { description: 'Interval; n: repeats, or independent values of one run.' },
          ),
          basis: Type.Union([Type.Enum(['observed', 'run', 'within-run', 'repeats']), Type.Null()], {
            description:
              'Where the interval comes from. within-run: of one run, which leaves out what differs between runs and decides nothing.',
          }),
          unit: Type.Enum(['rate', 'fraction', 'durationUs', 'count'], { description: 'rate: bit/s.' }),
          bounds: Type.Object(
            { atLeast: Type.Optional(Type.Number()), atMost: Type.Optional(Type.Number()) },
            { additionalProperties: false },
          ),
          measured: Type.String(),
          wanted: Type.String(),
          reason: Type.Union([Type.String(), Type.Null()]),
          dropped: Type.Array(
            Type.Object(
              { repeat: Type.Integer(), cause: Type.Enum(['voided', 'clocks', 'saturated', 'no-figure']), reason: Type.String() },
              { additionalProperties: false },
            ),
            { description: 'Repeats that the figure leaves out.' },
          ),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false, description: 'Verdicts of a run, as report.json holds them.' },
);
