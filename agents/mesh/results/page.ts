/** The mesh's part of the report: who reached whom, by whom packets went, who asked whom, how balancers shared out, which routes won. */
import type { ReportPage } from '../../../src/report/page.ts';
import { partsOf } from '../../../src/report/parts.ts';
import { reached } from '../../lib/probing/reached.ts';
import { asked, passed } from './matrices.ts';
import { shared } from './shared.ts';
import { won } from './won.ts';

export const page: ReportPage = {
  async sections(run) {
    const parts = partsOf(run);
    return [reached(parts), passed(parts), asked(parts), shared(parts), won(parts)].filter((section) => section !== null);
  },
};
