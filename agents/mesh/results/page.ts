/** The mesh's part of the report. */
import type { ReportPage } from '../../../src/report/page.ts';
import { partsOf } from '../../../src/report/parts.ts';
import { reached } from '../../lib/probing/reached.ts';

export const page: ReportPage = {
  async sections(run) {
    return [reached(partsOf(run))].filter((section) => section !== null);
  },
};
