/** Tests that deploy labs: one after the other, so that what one of them is busy with does not time out another. */
import base from './ava.config.js';

export default { ...base, files: ['test/{rig,fault,report,cells,rigs}/**/*.test.ts'], serial: true, concurrency: 1, timeout: '15m' };
